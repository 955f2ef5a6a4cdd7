// What each basic operation costs beside the same commands sent by bare hiredis over the same kind
// of socket.
//
//   basics [--json FILE] [--milliseconds N]     N: measured for each line, default 2000

#include <chrono>
#include <exception>
#include <string>

#include <tandem/tandem.hpp>
#include <tandem/testing/redis_server.hpp>

#include "arguments.hpp"
#include "bare.hpp"
#include "paired.hpp"

namespace {

constexpr auto take =
    "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end return 0";
constexpr auto give =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

}  // namespace

int main(int argc, char** argv) try {
  bench::Arguments arguments{argc, argv};
  auto const json = arguments.text("--json");
  std::chrono::milliseconds const total{arguments.number("--milliseconds").value_or(2000)};
  arguments.expect_no_more();

  tandem::testing::RedisServer server;
  auto bare = bench::Bare::over_unix(server.socket_path());
  tandem::Client redis{server.url()};
  tandem::Connection wire{server.url()};
  tandem::Counter counter{redis, "counter"};
  tandem::RollingCounter rolling{redis, "web", "hits"};
  tandem::SharedMap<std::string, std::string> map{redis, "map"};
  tandem::Lock lock{redis, "lock"};
  std::string const take_sha{tandem::Script{take}.sha1()};
  std::string const give_sha{tandem::Script{give}.sha1()};
  bare.command("SCRIPT", "LOAD", take);
  bare.command("SCRIPT", "LOAD", give);
  map.set("field", "value");

  bench::Paired table{total};
  auto const ping = [&] { bare.command("GET", "key"); };
  table.compare(
      "Connection::command GET", ping, [&] { (void)wire.command("GET", "key"); }, 1.05);
  table.compare(
      "Client::command GET", ping, [&] { (void)redis.command("GET", "key"); }, 1.05);
  table.compare(
      "Counter::add", [&] { bare.command("INCRBY", "counter", "1"); }, [&] { counter.add(); }, 0);
  table.compare(
      "RollingCounter::add", [&] { bare.command("INCRBY", "counter", "1"); },
      [&] { rolling.add(); }, 0);
  table.compare(
      "SharedMap::get", [&] { bare.command("HGET", "map", "field"); },
      [&] { (void)map.get("field"); }, 1.10);
  table.compare(
      "SharedMap::set", [&] { bare.command("HSET", "map", "field", "value"); },
      [&] { map.set("field", "value"); }, 1.10);
  table.compare(
      "Lock acquire + release",
      [&] {
        bare.command("EVALSHA", take_sha, "1", "bare", "token", "10000");
        bare.command("EVALSHA", give_sha, "1", "bare", "token");
      },
      [&] { lock.acquire().release(); }, 1.10);
  table.print();
  if (json) table.json().save(*json);
} catch (std::exception const& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}

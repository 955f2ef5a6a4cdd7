// What each basic operation costs beside the same commands sent by bare hiredis over the same kind
// of socket.
//
//   basics [--json FILE] [--milliseconds N]     N: measured for each line, default 2000

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include <hiredis/hiredis.h>

#include <tandem/tandem.hpp>
#include <tandem/testing/redis_server.hpp>

#include "paired.hpp"

namespace {

class Bare {
 public:
  explicit Bare(std::string const& socket) : context_{redisConnectUnix(socket.c_str())} {
    if (context_ == nullptr || context_->err != 0) throw std::runtime_error{"cannot connect"};
  }

  template <class... Words>
  void command(Words const&... words) {
    char const* arguments[] = {words...};
    Reply const reply{static_cast<redisReply*>(
        redisCommandArgv(context_.get(), sizeof...(words), arguments, nullptr))};
    if (reply == nullptr || reply->type == REDIS_REPLY_ERROR)
      throw std::runtime_error{reply ? reply->str : "no reply"};
  }

 private:
  struct Free {
    void operator()(redisContext* context) const { redisFree(context); }
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
  };
  using Reply = std::unique_ptr<redisReply, Free>;
  std::unique_ptr<redisContext, Free> context_;
};

constexpr auto take =
    "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end return 0";
constexpr auto give =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

}  // namespace

int main(int argc, char** argv) try {
  std::string json;
  auto total = std::chrono::milliseconds{2000};
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string const option = argv[i];
    if (option == "--json") json = argv[i + 1];
    if (option == "--milliseconds") total = std::chrono::milliseconds{std::atoi(argv[i + 1])};
  }

  tandem::testing::RedisServer server;
  Bare bare{server.socket_path()};
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
        bare.command("EVALSHA", take_sha.c_str(), "1", "bare", "token", "10000");
        bare.command("EVALSHA", give_sha.c_str(), "1", "bare", "token");
      },
      [&] { lock.acquire().release(); }, 1.10);
  table.print();
  if (!json.empty() && !table.write_json(json)) throw std::runtime_error{"cannot write " + json};
} catch (std::exception const& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}

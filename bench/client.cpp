// Three ways for the threads of a program to talk to one server: a mutex around one connection, a
// connection for each thread, and a `Client`, whose threads share one connection.
//
//   client [--json FILE] [--milliseconds N]     N: measured for each cell, default 600
//
// The contenders take turns in windows of 50 ms; the figure is the median of a contender's windows.

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <sys/resource.h>

#include <tandem/tandem.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds window{50};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto const seconds = [](timeval const& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Threads that all do the same, over and over, while they are let.
class Crowd {
 public:
  using Ask = std::function<void(int thread)>;

  Crowd(int size, Ask const& ask) {
    for (int i = 0; i < size; ++i) threads_.emplace_back([this, i, &ask] { live(i, ask); });
  }
  Crowd(Crowd const&) = delete;
  Crowd& operator=(Crowd const&) = delete;
  ~Crowd() {
    over_ = true;
    running_ = true;
    running_.notify_all();
  }

  struct Window {
    double commands_per_second;
    double cpu_microseconds;  // per command, of this process
  };
  Window run() {
    auto const before = done_.load();
    auto const cpu = cpu_seconds();
    auto const begin = Clock::now();
    running_ = true;
    running_.notify_all();
    std::this_thread::sleep_for(window);
    running_ = false;
    std::chrono::duration<double> const took = Clock::now() - begin;
    auto const count = static_cast<double>(std::max<std::int64_t>(1, done_.load() - before));
    return {count / took.count(), (cpu_seconds() - cpu) * 1e6 / count};
  }

 private:
  void live(int number, Ask const& ask) {
    for (;;) {
      running_.wait(false);
      if (over_) return;
      ask(number);
      done_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  std::atomic<bool> running_ = false;
  std::atomic<bool> over_ = false;
  std::atomic<std::int64_t> done_ = 0;
  std::vector<std::jthread> threads_{};
};

double median(std::vector<double> of) {
  auto const middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
  std::nth_element(of.begin(), middle, of.end());
  return *middle;
}

struct Cell {
  double commands_per_second;
  double cpu_microseconds;
};
struct Row {
  std::string way;
  int threads;
  Cell mutex, pool, client;
};

Row measure(std::string const& way, std::string const& url, int threads,
            std::chrono::milliseconds total) {
  std::mutex mutex;
  tandem::Connection shared{url};
  std::vector<std::unique_ptr<tandem::Connection>> own;
  own.reserve(static_cast<std::size_t>(threads));
  for (int i = 0; i < threads; ++i) own.push_back(std::make_unique<tandem::Connection>(url));
  tandem::Client client{url};
  (void)client.command("PING");

  std::vector<Crowd::Ask> const asks{
      [&](int) {
        std::lock_guard const guard{mutex};
        (void)shared.command("GET", "key");
      },
      [&](int i) { (void)own[static_cast<std::size_t>(i)]->command("GET", "key"); },
      [&](int) { (void)client.command("GET", "key"); },
  };
  std::vector<Cell> cells;
  {
    std::vector<std::unique_ptr<Crowd>> crowds;
    for (auto const& ask : asks) crowds.push_back(std::make_unique<Crowd>(threads, ask));
    std::vector<std::vector<double>> rates(asks.size());
    std::vector<std::vector<double>> costs(asks.size());
    for (auto const end = Clock::now() + total * static_cast<int>(asks.size());
         Clock::now() < end;) {
      for (std::size_t i = 0; i < crowds.size(); ++i) {
        auto const seen = crowds[i]->run();
        rates[i].push_back(seen.commands_per_second);
        costs[i].push_back(seen.cpu_microseconds);
      }
    }
    for (std::size_t i = 0; i < crowds.size(); ++i) {
      cells.push_back({median(rates[i]), median(costs[i])});
    }
  }
  return {way, threads, cells[0], cells[1], cells[2]};
}

void print(Row const& row) {
  fmt::print("{:<18} {:>7} {:>11.0f} {:>11.0f} {:>11.0f} {:>9.1f} {:>9.1f} {:>9.1f}\n", row.way,
             row.threads, row.mutex.commands_per_second, row.pool.commands_per_second,
             row.client.commands_per_second, row.mutex.cpu_microseconds, row.pool.cpu_microseconds,
             row.client.cpu_microseconds);
  std::fflush(stdout);
}

void write_json(std::string const& path, std::vector<Row> const& rows) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file{std::fopen(path.c_str(), "w"),
                                                             &std::fclose};
  if (file == nullptr) throw std::runtime_error{"cannot write " + path};
  std::string_view before = "[";
  for (auto const& row : rows) {
    fmt::print(file.get(), "{}\n  {{\"way\": \"{}\", \"threads\": {}", before, row.way,
               row.threads);
    auto const cell = [&](char const* name, Cell const& of) {
      fmt::print(file.get(), ", \"{}_per_second\": {:.0f}, \"{}_cpu_us\": {:.2f}", name,
                 of.commands_per_second, name, of.cpu_microseconds);
    };
    cell("mutex", row.mutex);
    cell("pool", row.pool);
    cell("client", row.client);
    fmt::print(file.get(), "}}");
    before = ",";
  }
  fmt::print(file.get(), "\n]\n");
}

}  // namespace

int main(int argc, char** argv) try {
  std::string json;
  auto total = std::chrono::milliseconds{600};
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string const option = argv[i];
    if (option == "--json") json = argv[i + 1];
    if (option == "--milliseconds") total = std::chrono::milliseconds{std::atoi(argv[i + 1])};
  }

  tandem::testing::RedisServer const server{{.tcp = true}};
  tandem::support::FaultProxy far{server};
  far.delay(std::chrono::milliseconds{2});  // of each reply: as 1 ms each way

  fmt::print("{:<18} {:>7} {:^35} {:^29}\n", "", "", "commands a second", "CPU us a command, here");
  fmt::print("{:<18} {:>7} {:>11} {:>11} {:>11} {:>9} {:>9} {:>9}\n", "way", "threads", "mutex",
             "pool", "Client", "mutex", "pool", "Client");
  std::vector<Row> rows;
  for (auto const& [way, url] :
       {std::pair<std::string, std::string>{"Unix socket", "unix://" + server.socket_path()},
        {"TCP", "redis://127.0.0.1:" + std::to_string(server.port())},
        {"1 ms each way", far.url()}}) {
    for (int const threads : {1, 2, 4, 8, 16, 32, 64}) {
      rows.push_back(measure(way, url, threads, total));
      print(rows.back());
    }
  }
  if (!json.empty()) write_json(json, rows);
} catch (std::exception const& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}

// How the threads of a program can talk to one server: tandem's client beside other ways and other
// libraries, over four transports. docs/benchmarks.md says what is measured, and how to read it.
//
//   client [--quick] [--windows N] [--json FILE]
//
//   --quick    1 and 16 callers only, and fewer windows
//   --windows  of 50 ms, for each contender in each line of the table
//   --json     writes the figures there too

#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <tandem/testing/redis_server.hpp>

#include "arguments.hpp"
#include "client/entrants.hpp"
#include "client/measure.hpp"
#include "client/report.hpp"
#include "client/table.hpp"
#include "client/targets.hpp"
#include "client/transport.hpp"
#include "delay.hpp"
#include "machine.hpp"
#include "one_core.hpp"
#include "server_version.hpp"
#include "support/certificates.hpp"
#include "verdict.hpp"

namespace {

using namespace std::chrono_literals;

constexpr auto far = "1 ms each way";

}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);  // a contender that has ended is an error like others
  bench::Arguments arguments{argc, argv};
  bool const quick = arguments.flag("--quick");
  bench::Plan plan;
  plan.windows = arguments.number("--windows").value_or(quick ? 5 : 20);
  auto const json = arguments.text("--json");
  arguments.expect_no_more();
  std::vector<int> const callers = quick ? std::vector{1, 16} : std::vector{1, 2, 4, 8, 16, 32, 64};

  tandem::support::Certificates const certificates;
  auto const own = certificates.sign("server", "DNS:localhost,IP:127.0.0.1");
  tandem::testing::RedisServer const server{
      {.tcp = true, .tls = tandem::testing::RedisServerTls{own.certificate, own.key}}};
  bench::Delay const delay{server.socket_path(), 1ms};
  std::vector<bench::Transport> const transports{
      {.name = "Unix socket", .unix_socket = server.socket_path()},
      {.name = "TCP", .port = server.port()},
      {.name = "TLS", .port = server.tls_port(), .authority = certificates.authority()},
      {.name = far, .port = delay.port()},
  };

  bench::Report report{
      {.machine = bench::Machine::now(),
       .server = bench::server_version(server.url()),
       .plan = plan,
       .entrants = bench::entrants({TANDEM_BENCH_PROGRAMS, TANDEM_BENCH_NODE_MODULES "/ioredis"},
                                   transports[0])}};
  report.print_head();
  bench::table::print_head(plan.window);

  bench::Targets targets{far};
  auto const measure = [&](bench::Transport const& transport, int count) {
    auto const group = bench::measure(report.entrants.present, transport, count, plan);
    auto const verdicts = targets.of(group);
    bench::table::print(group, verdicts);
    report.cells.insert(report.cells.end(), group.begin(), group.end());
    report.verdicts.insert(report.verdicts.end(), verdicts.begin(), verdicts.end());
  };
  for (auto transport : transports) {
    if (transport.name == far) continue;  // the way is what takes the time
    bench::OneCore const pinned{server.pid()};
    transport.name += ", one core";
    measure(transport, 1);
  }
  for (auto const& transport : transports) {
    for (int const count : callers) measure(transport, count);
  }
  bench::print_missed(report.verdicts);
  if (json) report.json().save(*json);
} catch (std::exception const& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}

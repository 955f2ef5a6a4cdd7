#pragma once

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "answer.hpp"
#include "lock/cell.hpp"
#include "lock/entrants.hpp"
#include "lock/plan.hpp"
#include "quantile.hpp"
#include "support/sockets.hpp"
#include "workers.hpp"

namespace bench::lock {

/// A process that does nothing but to wait for the end of another one: says "watching", and then
/// the moment. What it sees is the soonest that anybody on the machine can know.
///
/// Source: pidfd_open(2).
inline void watch(pid_t pid) {
  tandem::support::Descriptor const process{static_cast<int>(tandem::support::required(
      static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)), "pidfd_open"))};
  workers::say("watching");
  pollfd end{.fd = process.get(), .events = POLLIN, .revents = 0};
  while (::poll(&end, 1, -1) < 0 && errno == EINTR) {
  }
  workers::say(std::to_string(workers::now()));
}

/// Kills the holder while one other process waits, over and over: the waiter is the next holder.
inline Crash crash(Entrant const& entrant, std::string const& socket,
                   std::chrono::milliseconds lease, int kills, std::chrono::milliseconds patience) {
  auto const task = Task{socket, "lock of " + entrant.name, lease, 1}.words();
  auto const start = [&] {
    auto process = entrant.start(task);
    (void)Answer::from(*process);
    process->say("hold");
    return process;
  };
  auto const milliseconds_since = [](std::int64_t begin, Answer const& end) {
    return (std::strtod(end.text().c_str(), nullptr) - static_cast<double>(begin)) / 1e6;
  };
  std::vector<double> took;
  std::vector<double> watched;
  auto holder = start();
  (void)Answer::from(*holder);
  auto const end = std::chrono::steady_clock::now() + patience;
  do {
    auto waiter = start();
    Process watcher{{own_program(), "--watch", std::to_string(holder->pid())},
                    Process::Output::standard};
    (void)Answer::from(watcher);
    // By then the waiter has asked, and has been refused.
    std::this_thread::sleep_for(std::chrono::milliseconds{100});
    auto const begin = workers::now();
    holder->signal(SIGKILL);
    watched.push_back(milliseconds_since(begin, Answer::from(watcher)));
    holder.reset();  // no zombie: its parent does what parents do
    took.push_back(milliseconds_since(begin, Answer::from(*waiter)));
    holder = std::move(waiter);
  } while (static_cast<int>(took.size()) < kills && std::chrono::steady_clock::now() < end);
  return {entrant.name, lease, took.size(), median(took), quantile(took, 1), median(watched)};
}

}  // namespace bench::lock

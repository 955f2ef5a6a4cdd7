#pragma once

#include <barrier>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/types.h>

#include "support/patience.hpp"

namespace tandem::support {

/// Runs `body(number)` on so many threads that begin together, and waits for all of them; what one
/// throws fails the test.
inline void on_threads(int count, std::function<void(int)> const& body) {
  std::barrier begin{count};
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      begin.arrive_and_wait();
      try {
        body(i);
      } catch (std::exception const& fault) {
        ADD_FAILURE() << "thread " << i << ": " << fault.what();
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

/// Threads of this process that tandem started.
inline int background_threads() {
  int count = 0;
  for (auto const& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
    std::string name;
    std::ifstream{task.path() / "comm"} >> name;
    if (name == "tandem") ++count;
  }
  return count;
}

/// Waits until the thread `id` of this process sleeps for a reason of its own: seen so three times
/// in a row, and never running between.
inline bool falls_asleep(pid_t id) {
  auto const asleep = [id] {
    std::ifstream in{"/proc/self/task/" + std::to_string(id) + "/stat"};
    std::string const stat{std::istreambuf_iterator<char>{in}, {}};
    auto const end = stat.rfind(") ");
    return end != std::string::npos && stat[end + 2] == 'S';
  };
  return eventually([&] {
    for (int i = 0; i < 3; ++i) {
      if (!asleep()) return false;
      std::this_thread::yield();
    }
    return true;
  });
}

}  // namespace tandem::support

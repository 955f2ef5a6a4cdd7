#pragma once

#include <barrier>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

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

}  // namespace tandem::support

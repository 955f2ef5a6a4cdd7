#pragma once

#include <barrier>
#include <exception>
#include <functional>
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

}  // namespace tandem::support

#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace tandem::support {

/// What a call may take beyond its deadline before a test calls it late: a shared machine stalls
/// for hundreds of milliseconds at a time, and a call that hangs never comes back at all.
constexpr std::chrono::seconds stall{3};

/// How long `call` takes.
template <class Call>
std::chrono::milliseconds time_of(Call&& call) {
  auto const begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               begin);
}

/// Waits until `condition` holds, for what nobody announces (another program's state); false when
/// it never does.
inline bool eventually(std::function<bool()> const& condition,
                       std::chrono::milliseconds patience = std::chrono::seconds{20}) {
  auto const give_up = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= give_up) return false;
    std::this_thread::sleep_for(
        std::chrono::milliseconds{2});  // polled: there is nothing to wait on
  }
  return true;
}

}  // namespace tandem::support

#include "core/waiting.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

namespace tandem::detail {

using std::chrono::steady_clock;

bool poll_until(pollfd* fds, nfds_t count, Deadline deadline) {
  using namespace std::chrono;
  for (;;) {
    auto const now = steady_clock::now();
    auto const left = duration_cast<nanoseconds>(std::max(deadline, now) - now).count();
    timespec timeout{};
    timeout.tv_sec = static_cast<time_t>(left / 1'000'000'000);
    timeout.tv_nsec = static_cast<long>(left % 1'000'000'000);
    int const ready = ::ppoll(fds, count, &timeout, nullptr);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return true;  // let the read or write that follows say what is wrong
  }
}

bool CallerWaits::wait(int fd, short events, Deadline deadline) {
  pollfd one{fd, events, 0};
  return poll_until(&one, 1, deadline);
}

std::string_view error_text(int error_number) noexcept {
  auto const* const text = ::strerrordesc_np(error_number);
  return text != nullptr ? text : "unknown error";
}

}  // namespace tandem::detail

#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <tandem/core/job_queue.hpp>

namespace tandem::detail {

/// The next word of `text`, which is what is behind it from then on.
[[nodiscard]] std::string_view take_word(std::string_view& text);

/// 0 where there are no digits.
[[nodiscard]] unsigned number_in(std::string_view digits) noexcept;
/// Of milliseconds since 1970, in digits.
[[nodiscard]] std::chrono::sys_time<std::chrono::milliseconds> moment_in(
    std::string_view digits) noexcept;

/// A job as the server tells one who waits, and of which queue it is: `<priority> <id in the stream>
/// <delivery> <pushed> <length of queue> <length of id> <queue><id><job>`.
struct ToldJob {
  std::string queue;
  GivenJob job;
};
[[nodiscard]] ToldJob told_job(std::string_view text);

}  // namespace tandem::detail

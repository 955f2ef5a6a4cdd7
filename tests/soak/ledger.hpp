#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tandem::soak {

constexpr int producers = 8;
constexpr int consumers = 8;
constexpr std::size_t jobs_of_each = 400'000;
constexpr char const* queue_name = "soak:jobs";
constexpr unsigned deliveries_at_most = 12;

/// What is known of one job, written by whom it happened to.
struct JobRecord {
  enum Push : std::uint8_t { never, tried, in_doubt, refused, pushed };
  std::atomic<std::uint8_t> push = never;
  std::atomic<bool> ending = false;    // somebody has begun to say that it is done
  std::atomic<bool> rejected = false;  // it was said to be a dead letter
  std::atomic<std::uint16_t> handled = 0;
  std::atomic<std::uint16_t> acknowledged = 0;  // by the holder of that delivery
};

/// What producers and consumers write down for the one who torments them.
struct Ledger {
  std::array<std::array<JobRecord, jobs_of_each>, producers> jobs{};
  std::array<std::atomic<std::uint32_t>, producers> next{};  // the number of the next job

  std::atomic<bool> pushing = true;
  std::atomic<bool> working = true;
  std::atomic<bool> calm = false;  // nothing fails any more: whatever is left is done at once
  std::atomic<std::uint64_t> handled = 0;
  std::atomic<std::uint64_t> acknowledged = 0;
  std::atomic<std::uint64_t> failed = 0;     // calls that threw
  std::atomic<std::uint64_t> strangers = 0;  // jobs that nobody pushed
  // A job that came again after its acknowledgement: its number, and that of its producer, and how.
  std::atomic<std::uint64_t> risen = 0;
  std::atomic<std::uint64_t> risen_job = 0;
};

}  // namespace tandem::soak

#include "soak/queue_hands.hpp"

#include <charconv>
#include <chrono>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <tandem/queue.hpp>

namespace tandem::soak {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

class Chance {
 public:
  explicit Chance(unsigned seed) : random_{seed} {}
  [[nodiscard]] int one_of(int count) {
    return std::uniform_int_distribution<int>{0, count - 1}(random_);
  }

 private:
  std::minstd_rand random_;
};

QueueOptions how(bool auto_extend = false) {
  return {.visibility = 1500ms,
          .max_deliveries = deliveries_at_most,
          .auto_extend = auto_extend,
          .most = 3000,
          .wait_for_room = 1s};
}

Client quiet(std::string const& url) {
  auto options = Options::from_url(url);
  options.connect_timeout = 5s;
  options.command_timeout = 5s;
  options.on_error = [](Error const&) {};
  return Client{options};
}

/// `<producer> <number>`
struct Name {
  unsigned producer = producers;
  std::uint32_t number = 0;

  static Name of(std::string_view text) {
    Name out;
    auto const gap = text.find(' ');
    if (gap == std::string_view::npos) return out;
    std::from_chars(text.data(), text.data() + gap, out.producer);
    std::from_chars(text.data() + gap + 1, text.data() + text.size(), out.number);
    return out;
  }
  [[nodiscard]] std::string text() const {
    return std::to_string(producer) + " " + std::to_string(number);
  }
};

void push_some(Ledger& ledger, unsigned me, Queue<std::string>& queue, Chance& chance) {
  auto& next = ledger.next[me];
  auto const count = chance.one_of(4) == 0 ? 1 + chance.one_of(20) : 1;
  std::vector<std::string> batch;
  std::vector<JobRecord*> records;
  for (int i = 0; i < count && next < jobs_of_each; ++i) {
    auto const number = next++;
    records.push_back(&ledger.jobs[me][number]);
    records.back()->push = JobRecord::tried;
    batch.push_back(Name{me, number}.text());
  }
  if (batch.empty()) throw std::runtime_error{"the ledger is full"};
  auto const note = [&](JobRecord::Push push) {
    for (auto* const each : records) each->push = push;
  };
  PushOptions options;
  if (chance.one_of(10) == 0) options.delay = milliseconds{chance.one_of(500)};
  if (chance.one_of(5) == 0) options.priority = static_cast<Priority>(1 + chance.one_of(3));
  if (batch.size() == 1 && chance.one_of(2) == 0) options.id = batch[0];
  try {
    if (batch.size() == 1) {
      if (!queue.push(batch[0], options)) throw std::runtime_error{"a fresh id is taken"};
    } else {
      queue.push_many(batch, options);
    }
    note(JobRecord::pushed);
  } catch (InDoubt const&) {
    note(JobRecord::in_doubt);
    ++ledger.failed;
  } catch (Error const&) {
    note(JobRecord::refused);
    ++ledger.failed;
  }
}

class Consumer {
 public:
  Consumer(Ledger& ledger, std::string const& url, unsigned seed)
      : ledger_{ledger},
        chance_{seed},
        queue_{quiet(url), queue_name, how(chance_.one_of(2) == 0)} {}

  void work() {
    while (ledger_.working) {
      try {
        turn();
      } catch (Error const&) {
        ++ledger_.failed;
      }
    }
  }

 private:
  void turn() {
    if (chance_.one_of(4) == 0) {
      auto jobs = queue_.pop_many(1 + static_cast<std::size_t>(chance_.one_of(30)), 300ms);
      for (auto const& job : jobs) (void)noted(job);
      if (ledger_.calm || chance_.one_of(20) > 0) acknowledge_all(jobs);
      return;
    }
    std::stop_source stop;
    if (chance_.one_of(10) == 0) stop.request_stop();
    auto job = queue_.pop(milliseconds{1 + chance_.one_of(500)}, stop.get_token());
    if (job) settle(*job);
  }

  /// That it was given to us; nullptr for a stranger's.
  JobRecord* noted(Job<std::string> const& job) {
    auto const name = Name::of(job.value());
    if (name.producer >= producers || name.number >= ledger_.next[name.producer]) {
      ++ledger_.strangers;
      return nullptr;
    }
    auto& record = ledger_.jobs[name.producer][name.number];
    ++record.handled;
    ++ledger_.handled;
    // An older delivery may be late in coming; a newer one is of a job that was not done.
    auto const acknowledged = record.acknowledged.load();
    if (acknowledged != 0 && job.delivery() > acknowledged) {
      ++ledger_.risen;
      ledger_.risen_job = (std::uint64_t{name.producer} << 32U) | name.number;
    }
    return &record;
  }

  void settle(Job<std::string>& job) {
    auto* const record = noted(job);
    if (record == nullptr) return;
    auto const number = Name::of(job.value()).number;
    if (number % 97 == 3) {  // nobody can do these
      record->ending = true;
      if (job.reject("it is one of those")) record->rejected = true;
      return;
    }
    auto const what = ledger_.calm ? 0 : chance_.one_of(100);
    if (what >= 96) return;  // it is forgotten
    if (what >= 90) {
      (void)job.retry_after(milliseconds{chance_.one_of(300)});
      return;
    }
    if (what >= 80) std::this_thread::sleep_for(milliseconds{chance_.one_of(60)});  // work
    if (what >= 78) (void)job.extend();
    acknowledge(job, *record);
  }

  void acknowledge(Job<std::string>& job, JobRecord& record) {
    record.ending = true;
    if (job.ack()) done(job, record);
  }

  void acknowledge_all(std::vector<Job<std::string>>& jobs) {
    std::vector<JobRecord*> records;
    for (auto const& job : jobs) {
      auto const name = Name::of(job.value());
      if (name.producer >= producers) return;
      records.push_back(&ledger_.jobs[name.producer][name.number]);
      records.back()->ending = true;
    }
    // Which of them, where some were others' already, is not said.
    if (queue_.ack(jobs) < jobs.size()) return;
    for (std::size_t i = 0; i < jobs.size(); ++i) done(jobs[i], *records[i]);
  }

  void done(Job<std::string> const& job, JobRecord& record) {
    ++ledger_.acknowledged;
    // The last delivery that was: an ack whose first answer was lost is also true when a later holder
    // was first.
    auto const delivery = static_cast<std::uint16_t>(job.delivery());
    auto known = record.acknowledged.load();
    while (known < delivery && !record.acknowledged.compare_exchange_weak(known, delivery)) {
    }
  }

  Ledger& ledger_;
  Chance chance_;
  Queue<std::string> queue_;
};

}  // namespace

void produce(Ledger& ledger, int place, std::string const& url, unsigned seed) {
  Chance chance{seed};
  Queue<std::string> queue{quiet(url), queue_name, how()};
  while (ledger.pushing) push_some(ledger, static_cast<unsigned>(place), queue, chance);
}

void consume(Ledger& ledger, std::string const& url, unsigned seed) {
  Consumer{ledger, url, seed}.work();
}

}  // namespace tandem::soak

#include "queueing/job_leases.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "scripts.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;

// How soon an extension that failed is tried again.
constexpr milliseconds retry_after{50};

}  // namespace

void JobLeases::keep(std::shared_ptr<JobLease> const& lease) {
  bool sooner = false;
  {
    std::lock_guard const guard{mutex_};
    lease->due = std::chrono::steady_clock::now() + lease->visibility / 3;
    leases_.push_back(lease);
    sooner = lease->due < next_due_;
  }
  if (sooner) events_.wake();
}

Deadline JobLeases::serve(Deadline now) {
  std::map<std::pair<std::string_view, milliseconds>, Batch> due;
  auto next = Deadline::max();
  {
    std::lock_guard const guard{mutex_};
    std::vector<std::weak_ptr<JobLease>> living;
    living.reserve(leases_.size());
    Batch all;
    for (auto& each : leases_) {
      auto lease = each.lock();
      if (!lease || lease->lost) continue;
      living.push_back(std::move(each));
      all.push_back(std::move(lease));
    }
    leases_ = std::move(living);
    auto const group_of = [](JobLease const& lease) {
      return std::pair{std::string_view{lease.keys->name}, lease.visibility};
    };
    for (auto const& lease : all) {
      if (!lease->is_on_its_way && lease->due <= now) due[group_of(*lease)];
    }
    for (auto& lease : all) {
      auto const batch = due.find(group_of(*lease));
      if (batch != due.end() && !lease->is_on_its_way &&
          lease->due <= now + lease->visibility / 8) {
        lease->is_on_its_way = true;
        batch->second.push_back(std::move(lease));
      } else if (!lease->is_on_its_way) {
        next = std::min(next, lease->due);
      }
    }
    next_due_ = next;
  }
  for (auto& [group, batch] : due) extend(std::move(batch));
  std::lock_guard const guard{mutex_};
  return next_due_;
}

void JobLeases::extend(Batch batch) {
  auto const visibility = batch.front()->visibility;
  std::vector<Argument> arguments{visibility.count()};
  for (auto const& lease : batch) arguments.emplace_back(lease->ticket);
  CommandBuffer command;
  // In full: it is rare, and who hears of a forgotten script here would have to ask again.
  add_script(command, scripts::queue_extend, false, batch.front()->keys->all, arguments);
  bool const sent = events_.send(command, [this, batch](ReplyView const* reply) {
    take_answer(batch, reply);
    events_.wake();  // to be asked when the next is due
  });
  if (!sent) take_answer(batch, nullptr);
}

void JobLeases::take_answer(Batch const& batch, ReplyView const* reply) {
  bool const answered = reply != nullptr && reply->size() == batch.size();
  auto const now = std::chrono::steady_clock::now();
  std::lock_guard const guard{mutex_};
  for (std::size_t i = 0; i < batch.size(); ++i) {
    auto& lease = *batch[i];
    lease.is_on_its_way = false;
    if (answered && (*reply)[i].as<int>() == 0) lease.lost = true;
    lease.due = now + (answered ? lease.visibility / 3 : retry_after);
    next_due_ = std::min(next_due_, lease.due);
  }
}

}  // namespace tandem::detail

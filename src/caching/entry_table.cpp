#include "caching/entry_table.hpp"

#include <bit>
#include <ctime>
#include <functional>
#include <utility>

#include "caching/reading.hpp"

namespace tandem::detail {
namespace {

// So many are taken away before it is looked which of them may be destroyed.
constexpr std::size_t retired_at_once = 64;

std::size_t hash_of(std::string_view field) noexcept {
  return std::hash<std::string_view>{}(field);
}

}  // namespace

std::int64_t coarse_clock() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

EntryTable::EntryTable(std::size_t most)
    : most_{most},
      mask_{std::bit_ceil(most) - 1},
      buckets_{std::make_unique<std::atomic<Node*>[]>(mask_ + 1)} {}

EntryTable::~EntryTable() {
  for (auto* node = oldest_; node != nullptr;) delete std::exchange(node, node->newer);
  for (auto* node = first_retired_; node != nullptr;) delete std::exchange(node, node->newer);
}

EntryTable::Node* EntryTable::node(std::size_t hash, std::string_view field) const noexcept {
  for (auto* node = buckets_[hash & mask_].load(); node != nullptr; node = node->next.load()) {
    if (node->hash == hash && node->entry.field == field) return node;
  }
  return nullptr;
}

CacheEntry const* EntryTable::find(std::string_view field) const noexcept {
  auto* const found = node(hash_of(field), field);
  if (found == nullptr || coarse_clock() >= found->entry.good_until) return nullptr;
  // Written only where it says something new, so that those who read one entry share its line.
  if (!found->found.load(std::memory_order_relaxed))
    found->found.store(true, std::memory_order_relaxed);
  return &found->entry;
}

CacheEntry const* EntryTable::look(std::string_view field) const noexcept {
  auto* const found = node(hash_of(field), field);
  return found == nullptr ? nullptr : &found->entry;
}

/// The pointer to the entry, or the last one of its bucket.
std::atomic<EntryTable::Node*>* EntryTable::link_to(std::size_t hash,
                                                    std::string_view field) noexcept {
  auto* link = &buckets_[hash & mask_];
  for (auto* node = link->load(); node != nullptr; node = link->load()) {
    if (node->hash == hash && node->entry.field == field) break;
    link = &node->next;
  }
  return link;
}

void EntryTable::put(CacheEntry entry) {
  auto const hash = hash_of(entry.field);
  auto made = std::make_unique<Node>();
  made->entry = std::move(entry);
  made->hash = hash;
  auto* const link = link_to(hash, made->entry.field);
  if (auto* const old = link->load(); old != nullptr) {  // takes its place, also in the order
    made->next.store(old->next.load());
    made->found.store(old->found.load(std::memory_order_relaxed), std::memory_order_relaxed);
    made->newer = old->newer;
    made->older = old->older;
    (old->newer != nullptr ? old->newer->older : newest_) = made.get();
    (old->older != nullptr ? old->older->newer : oldest_) = made.get();
    if (hand_ == old) hand_ = made.get();
    link->store(made.release());
    retire(*old);
    return;
  }
  if (size_ == most_) evict();
  // evict() may have taken the last of this bucket, whose pointer the link was.
  auto& first = buckets_[hash & mask_];
  made->next.store(first.load());
  made->older = newest_;
  (newest_ != nullptr ? newest_->newer : oldest_) = made.get();
  newest_ = made.get();
  first.store(made.release());
  ++size_;
}

void EntryTable::erase(std::string_view field) {
  if (auto* const found = node(hash_of(field), field); found != nullptr) unlink(*found);
}

void EntryTable::clear() {
  while (oldest_ != nullptr) unlink(*oldest_);
}

void EntryTable::evict() {
  auto* at = hand_ != nullptr ? hand_ : oldest_;
  while (at->found.load(std::memory_order_relaxed)) {
    at->found.store(false, std::memory_order_relaxed);
    at = at->newer != nullptr ? at->newer : oldest_;
  }
  hand_ = at;
  unlink(*at);  // moves the hand to the next
}

void EntryTable::unlink(Node& node) noexcept {
  link_to(node.hash, node.entry.field)->store(node.next.load());
  if (hand_ == &node) hand_ = node.newer;
  (node.newer != nullptr ? node.newer->older : newest_) = node.older;
  (node.older != nullptr ? node.older->newer : oldest_) = node.newer;
  --size_;
  retire(node);
}

void EntryTable::retire(Node& node) noexcept {
  node.stamp = removal_stamp();
  node.newer = nullptr;
  (last_retired_ != nullptr ? last_retired_->newer : first_retired_) = &node;
  last_retired_ = &node;
  if (++retired_ % retired_at_once == 0) destroy_what_nobody_reads();
}

void EntryTable::destroy_what_nobody_reads() noexcept {
  auto const oldest = oldest_reading();
  while (first_retired_ != nullptr && first_retired_->stamp < oldest) {
    delete std::exchange(first_retired_, first_retired_->newer);
    --retired_;
  }
  if (first_retired_ == nullptr) last_retired_ = nullptr;
}

}  // namespace tandem::detail

#include <map>
#include <stdexcept>

#include <fmt/core.h>

#include "core/core.hpp"
#include "scripts.hpp"
#include "shared_map_bytes.hpp"
#include "tandem/core/shared_hash.hpp"

// WATCH would do the same with less code, but it watches the whole hash: in a busy map a draft of
// two entries would be void whenever any third one changes. So what was read is compared, by the
// script that writes, and also by each read that follows another: a function never sees two
// moments mixed.

namespace tandem::detail {
namespace {

constexpr std::size_t most_entries = 1000;

}  // namespace

struct HashDraft::Write {
  std::optional<std::string> value;
  long long ttl = 0;
};

struct HashDraft::State {
  std::map<std::string, std::optional<std::string>, std::less<>> read{};
  std::map<std::string, Write, std::less<>> written{};
  bool changed = false;

  void make_room(std::size_t more) const {
    if (read.size() + written.size() + more <= most_entries) return;
    throw std::invalid_argument{fmt::format(
        "tandem: {} entries were to be read or changed in one step; up to {} are accepted",
        read.size() + written.size() + more, most_entries)};
  }

  /// What a script compares, as its first words.
  [[nodiscard]] std::vector<Argument> known() const {
    std::vector<Argument> out{read.size()};
    for (auto const& [field, value] : read) {
      out.emplace_back(field);
      out.emplace_back(value ? 1 : 0);
      out.emplace_back(value ? std::string_view{*value} : std::string_view{});
    }
    return out;
  }
};

void HashDraft::End::operator()(State* state) const noexcept { delete state; }

HashDraft::HashDraft(SharedHash const& hash)
    : hash_{hash}, deadline_{hash.key_.deadline()}, state_{new State} {}

std::optional<std::string_view> HashDraft::get(std::string_view field) {
  if (auto const drafted = state_->written.find(field); drafted != state_->written.end())
    return drafted->second.value;
  auto known = state_->read.find(field);
  if (known == state_->read.end()) {
    std::string const fields[] = {std::string{field}};
    read(fields);
    known = state_->read.find(field);
  }
  return known->second;
}

void HashDraft::read(std::span<std::string const> fields) {
  std::vector<std::string_view> unknown;
  for (auto const& field : fields) {
    if (!state_->written.contains(field) && !state_->read.contains(field)) unknown.push_back(field);
  }
  if (unknown.empty()) return;
  state_->make_room(unknown.size());
  auto arguments = state_->known();
  arguments.insert(arguments.end(), unknown.begin(), unknown.end());
  auto const reply = hash_.run(scripts::shared_map_read, arguments, deadline_);
  if (!reply[0].as<bool>()) {
    state_->changed = true;
    throw Changed{};
  }
  for (std::size_t i = 0; i < unknown.size(); ++i) {
    std::optional<std::string> value;
    if (reply[2 * i + 1].as<bool>()) value = reply[2 * i + 2].as<std::string>();
    state_->read.emplace(unknown[i], std::move(value));
  }
}

void HashDraft::set(std::string_view field, std::string_view value, EntryOptions options) {
  state_->make_room(1);
  state_->written.insert_or_assign(std::string{field},
                                   Write{std::string{value}, milliseconds_of(options)});
}

void HashDraft::erase(std::string_view field) {
  state_->make_room(1);
  state_->written.insert_or_assign(std::string{field}, Write{std::nullopt, 0});
}

bool HashDraft::try_apply() {
  if (state_->changed) return false;  // the function has caught what ended its try
  if (state_->written.empty()) return true;
  throw_if_over();
  ++tries_;
  auto arguments = state_->known();
  for (auto const& [field, write] : state_->written) {
    arguments.emplace_back(field);
    arguments.emplace_back(write.value ? 1 : 0);
    arguments.emplace_back(write.ttl);
    arguments.emplace_back(write.value ? std::string_view{*write.value} : std::string_view{});
  }
  return hash_.run(scripts::shared_map_change, arguments, deadline_)[0].as<bool>();
}

void HashDraft::begin_again() {
  throw_if_over();
  *state_ = {};
}

void HashDraft::throw_if_over() const {
  if (std::chrono::steady_clock::now() < deadline_) return;
  throw Conflict{fmt::format(
      "tandem: several entries of {}: {} tries took until the deadline; nothing was applied",
      hash_.key_.in_words(), tries_)};
}

}  // namespace tandem::detail

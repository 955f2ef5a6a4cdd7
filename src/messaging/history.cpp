#include "messaging/history.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "core/companion_key.hpp"
#include "core/core.hpp"
#include "scripts.hpp"

namespace tandem::detail {
namespace {

constexpr std::size_t most_of_a_read = 1000;
constexpr std::size_t bytes_of_a_read = 1U << 20U;
constexpr auto last_sequence = std::numeric_limits<std::uint64_t>::max();

/// Two numbers with a sign between.
std::optional<std::pair<std::uint64_t, std::uint64_t>> two_numbers(std::string_view text,
                                                                   char sign) noexcept {
  std::pair<std::uint64_t, std::uint64_t> out;
  auto const* const end = text.data() + text.size();
  auto const first = std::from_chars(text.data(), end, out.first);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != sign) return std::nullopt;
  auto const second = std::from_chars(first.ptr + 1, end, out.second);
  if (second.ec != std::errc{} || second.ptr != end) return std::nullopt;
  return out;
}

}  // namespace

History::History(Client client, std::string const& topic)
    : client_{std::move(client)},
      key_{companion_key(topic, "history")},
      channel_{"tandem:" + key_} {}

std::size_t History::publish(std::string_view topic, std::size_t most,
                             std::string_view message) const {
  auto& core = client_.core();
  std::string_view const keys[] = {key_};
  Argument const arguments[] = {topic, most, message};
  auto const reply = core.run(scripts::topic_publish, keys, arguments, core.deadline());
  return reply[0].as<std::size_t>();
}

std::optional<History::Id> History::read_id(std::string_view text) noexcept {
  auto const parts = two_numbers(text, '-');
  if (!parts) return std::nullopt;
  return Id{parts->first, parts->second};
}

std::optional<History::Field> History::read_field(std::string_view text) noexcept {
  auto const parts = two_numbers(text, ' ');
  if (!parts) return std::nullopt;
  return Field{text.substr(0, text.find(' ')), parts->second};
}

History::Id History::next_id() const noexcept {
  if (id_.sequence == last_sequence) return {id_.milliseconds + 1, 0};
  return {id_.milliseconds, id_.sequence + 1};
}

void History::begin(std::size_t replay) {
  auto& core = client_.core();
  std::string_view const keys[] = {key_};
  // More than Lua's numbers hold is everything, too.
  Argument const arguments[] = {std::min<std::size_t>(replay, 1'000'000'000)};
  auto const reply = core.run(scripts::topic_begin, keys, arguments, core.deadline());
  id_ = {};
  birth_.clear();
  number_ = 0;
  if (reply.size() == 0) return;
  auto const id = read_id(reply[0].as<std::string_view>()).value_or(Id{});
  bool const after = reply[2].as<bool>();
  id_ = after || id == Id{} ? id
        : id.sequence > 0   ? Id{id.milliseconds, id.sequence - 1}
                            : Id{id.milliseconds - 1, last_sequence};
  number_.reset();
  auto const field = read_field(reply[1].as<std::string_view>());
  if (!field) return;
  birth_ = field->birth;
  number_ = after ? field->number : field->number - 1;
}

History::Part History::read() {
  auto& core = client_.core();
  std::string_view const keys[] = {key_};
  auto const from = next_id();
  auto const from_text = fmt::format("{}-{}", from.milliseconds, from.sequence);
  Argument const arguments[] = {from_text, birth_, count_};
  Part out{core.run(scripts::topic_read, keys, arguments, core.deadline())};
  auto const& reply = out.reply;
  is_there_ = reply.size() > 0;
  if (!is_there_) return out;

  if (reply[2].as<bool>()) {
    out.steps.push_back({TopicGap{TopicGap::Why::history_lost}});
    birth_.clear();
    number_.reset();
    id_ = {};
  } else if (auto const last = read_id(reply[0].as<std::string_view>()); last && *last < id_) {
    // It has forgotten what was told; what it has was told before.
    out.steps.push_back({TopicGap{TopicGap::Why::history_lost}});
    id_ = *last;
    auto const field = read_field(reply[1].as<std::string_view>());
    number_.reset();
    if (field) number_ = field->number;
    return out;
  }
  std::size_t bytes = 0;
  for (std::size_t i = 3; i + 2 < reply.size(); i += 3) {
    auto const id = read_id(reply[i].as<std::string_view>());
    auto const field = read_field(reply[i + 1].as<std::string_view>());
    auto const message = reply[i + 2].as<std::string_view>();
    bytes += message.size();
    if (id && field) {
      go_on(*id, *field, message, out.steps);
    } else if (id) {
      id_ = *id;  // a stranger's
    }
  }
  auto const got = reply.size() / 3 - 1;
  out.is_last = got < count_;
  // As many as make a part of good size, if they are like these.
  auto const fitting = got * bytes_of_a_read / std::max<std::size_t>(bytes, 1);
  count_ = std::clamp<std::size_t>(std::min(fitting, 10 * count_), 1, most_of_a_read);
  return out;
}

/// Tells a message, and before it what is missing since the last one.
void History::go_on(Id id, Field const& field, std::string_view message, std::vector<Step>& steps) {
  bool const same = birth_.empty() || birth_ == field.birth;
  if (number_ && same && field.number > *number_ + 1) {
    steps.push_back({TopicGap{TopicGap::Why::history_trimmed, field.number - *number_ - 1}});
  } else if (!same || (number_ && field.number <= *number_)) {
    steps.push_back({TopicGap{TopicGap::Why::history_lost}});
  }
  id_ = id;
  birth_ = field.birth;
  number_ = field.number;
  steps.push_back({std::nullopt, message});
}

History::Heard History::parse(std::string_view text) {
  auto const line = text.substr(0, text.find('\n'));
  auto const space = line.find(' ');
  if (space != std::string_view::npos && line.size() < text.size()) {
    auto const id = read_id(line.substr(0, space));
    auto const field = read_field(line.substr(space + 1));
    if (id && field) return {*id, *field, text.substr(line.size() + 1)};
  }
  throw CodecError{"no message of a topic with a history"};
}

History::Order History::order_of(Heard const& heard) const noexcept {
  if (birth_ != heard.field.birth) return Order::beyond;
  if (heard.id <= id_) return Order::told;
  return number_ && heard.field.number == *number_ + 1 ? Order::next : Order::beyond;
}

std::vector<History::Step> History::take(Heard const& heard) {
  std::vector<Step> out;
  // One of a history that there was before this one has been told, or is known to be lost.
  if (is_there_ && !birth_.empty() && birth_ != heard.field.birth) return out;
  go_on(heard.id, heard.field, heard.message, out);
  return out;
}

}  // namespace tandem::detail

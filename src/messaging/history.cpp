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

constexpr std::size_t most_of_a_part = 1000;
constexpr std::size_t bytes_of_a_part = 1U << 20U;
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
      channel_{"tandem:" + key_} {
  // Channels know no databases, streams do.
  auto const database = client_.core().options().database;
  if (database != 0) channel_ += fmt::format(":{}", database);
}

std::size_t History::publish(std::string_view topic, std::size_t most,
                             std::string_view message) const {
  auto& core = client_.core();
  std::string_view const keys[] = {key_};
  Argument const arguments[] = {topic, most, message, channel_};
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

void History::begin(std::size_t replay) {
  auto& core = client_.core();
  std::string_view const keys[] = {key_};
  // More than Lua's numbers hold is everything, too.
  Argument const arguments[] = {std::min<std::size_t>(replay, 1'000'000'000)};
  auto const reply = core.run(scripts::topic_begin, keys, arguments, core.deadline());
  place_ = {.number = 0};
  if (reply.size() == 0) return;
  auto const id = read_id(reply[0].as<std::string_view>()).value_or(Id{});
  bool const after = reply[2].as<bool>();
  place_.id = after || id == Id{} ? id
              : id.sequence > 0   ? Id{id.milliseconds, id.sequence - 1}
                                  : Id{id.milliseconds - 1, last_sequence};
  place_.number.reset();
  auto const field = read_field(reply[1].as<std::string_view>());
  if (!field) return;
  place_.birth = field->birth;
  place_.number = after ? field->number : field->number - 1;
}

History::Part History::read() {
  auto& core = client_.core();
  std::string_view const keys[] = {key_};
  auto const after = fmt::format("{}-{}", place_.id.milliseconds, place_.id.sequence);
  Argument const arguments[] = {after, place_.birth, most_of_a_part, bytes_of_a_part};
  Part out{core.run(scripts::topic_read, keys, arguments, core.deadline())};
  auto const& reply = out.reply;
  is_there_ = reply.size() > 0;
  if (!is_there_) return out;

  auto place = place_;
  auto const kept = reply[0].as<int>();
  if (kept != 1) out.steps.push_back({TopicGap{TopicGap::Why::history_lost}});
  if (kept == 0) {
    place = {};
  } else if (kept == 2) {
    // It has forgotten what was told; what it has of before was told, or nobody knows.
    place.id = read_id(reply[1].as<std::string_view>()).value_or(place.id);
    place.number.reset();
    if (auto const field = read_field(reply[2].as<std::string_view>())) {
      place.birth = field->birth;
      place.number = field->number;
    }
  }
  out.is_last = !reply[3].as<bool>();
  for (std::size_t i = 4; i + 2 < reply.size(); i += 3) {
    auto const id = read_id(reply[i].as<std::string_view>());
    auto const field = read_field(reply[i + 1].as<std::string_view>());
    if (id && field) {
      place.go_on(*id, *field, reply[i + 2].as<std::string_view>(), out.steps);
    } else if (id) {
      place.id = *id;  // a stranger's
    }
  }
  place_ = std::move(place);
  return out;
}

/// Tells a message, and before it what is missing since the last one.
void History::Place::go_on(Id to, Field const& field, std::string_view message,
                           std::vector<Step>& steps) {
  bool const same = birth.empty() || birth == field.birth;
  if (number && same && field.number > *number + 1) {
    steps.push_back({TopicGap{TopicGap::Why::history_trimmed, field.number - *number - 1}});
  } else if (!same || (number && field.number <= *number)) {
    steps.push_back({TopicGap{TopicGap::Why::history_lost}});
  }
  steps.push_back({std::nullopt, message});
  id = to;
  birth = field.birth;
  number = field.number;
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
  if (place_.birth != heard.field.birth) return Order::beyond;
  if (!place_.id.is_before(heard.id)) return Order::told;
  bool const is_next = place_.number && heard.field.number == *place_.number + 1;
  return is_next ? Order::next : Order::beyond;
}

std::vector<History::Step> History::take(Heard const& heard) {
  std::vector<Step> out;
  auto place = place_;
  // One of a history that there was before this one has been told, or is known to be lost.
  if (is_there_ && !place.birth.empty() && place.birth != heard.field.birth) return out;
  place.go_on(heard.id, heard.field, heard.message, out);
  place_ = std::move(place);
  return out;
}

}  // namespace tandem::detail

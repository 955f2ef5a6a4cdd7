#include "tandem/core/command.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <stdexcept>

namespace tandem {
namespace {

enum class Kind { blocks, may_block, changes, opens, closes, container };

struct Special {
  std::string_view name;
  Kind kind;
};

constexpr Special special[] = {
    {"AUTH", Kind::changes},         {"ASKING", Kind::changes},       {"BLMOVE", Kind::blocks},
    {"BLMPOP", Kind::blocks},        {"BLPOP", Kind::blocks},         {"BRPOP", Kind::blocks},
    {"BRPOPLPUSH", Kind::blocks},    {"BZMPOP", Kind::blocks},        {"BZPOPMAX", Kind::blocks},
    {"BZPOPMIN", Kind::blocks},      {"CLIENT", Kind::container},     {"DISCARD", Kind::closes},
    {"EXEC", Kind::closes},          {"HELLO", Kind::changes},        {"MONITOR", Kind::changes},
    {"MULTI", Kind::opens},          {"PSUBSCRIBE", Kind::changes},   {"PSYNC", Kind::changes},
    {"PUNSUBSCRIBE", Kind::changes}, {"QUIT", Kind::changes},         {"READONLY", Kind::changes},
    {"READWRITE", Kind::changes},    {"REPLCONF", Kind::changes},     {"RESET", Kind::changes},
    {"SCRIPT", Kind::container},     {"SELECT", Kind::changes},       {"SSUBSCRIBE", Kind::changes},
    {"SUBSCRIBE", Kind::changes},    {"SUNSUBSCRIBE", Kind::changes}, {"SYNC", Kind::changes},
    {"UNSUBSCRIBE", Kind::changes},  {"UNWATCH", Kind::changes},      {"WAIT", Kind::blocks},
    {"WAITAOF", Kind::blocks},       {"WATCH", Kind::changes},        {"XREAD", Kind::may_block},
    {"XREADGROUP", Kind::may_block},
};

// CLIENT LIST, SCRIPT LOAD and the like leave the connection as it was.
constexpr std::string_view special_in_container[] = {
    "CLIENT CACHING",  "CLIENT CAPA",     "CLIENT IMPORT-SOURCE",
    "CLIENT NO-EVICT", "CLIENT NO-TOUCH", "CLIENT REPLY",
    "CLIENT SETNAME",  "CLIENT TRACKING", "SCRIPT DEBUG",
};

/// `name` in any mixture of capitals.
bool is(std::string_view name, std::string_view capitals) noexcept {
  auto const upper = [](char letter) {
    return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A') : letter;
  };
  return name.size() == capitals.size() &&
         std::equal(name.begin(), name.end(), capitals.begin(),
                    [&](char a, char b) { return upper(a) == b; });
}

}  // namespace

void Argument::write_signed(long long number) noexcept {
  digit_count_ = static_cast<std::size_t>(
      std::to_chars(digits_, digits_ + sizeof digits_, number).ptr - digits_);
}

void Argument::write_unsigned(unsigned long long number) noexcept {
  digit_count_ = static_cast<std::size_t>(
      std::to_chars(digits_, digits_ + sizeof digits_, number).ptr - digits_);
}

void Argument::write_real(double number) noexcept {
  digit_count_ = static_cast<std::size_t>(
      std::to_chars(digits_, digits_ + sizeof digits_, number).ptr - digits_);
}

void CommandBuffer::begin(std::size_t count) {
  char digits[24];
  auto const* const end = std::to_chars(digits, digits + sizeof digits, count).ptr;
  bytes_ += '*';
  bytes_.append(digits, static_cast<std::size_t>(end - digits));
  bytes_ += "\r\n";
  ++count_;
  words_ = 0;
  words_to_come_ = count;
  container_ = {};
  looks_for_block_ = false;
}

void CommandBuffer::take_note_of_name(std::string_view name) noexcept {
  auto const* const found = std::find_if(std::begin(special), std::end(special),
                                         [&](Special const& each) { return is(name, each.name); });
  if (found == std::end(special)) return;
  bool const closes_nothing = found->kind == Kind::closes && !in_multi_;
  if (found->kind == Kind::container) container_ = found->name;
  if (found->kind == Kind::blocks) may_block_ = true;
  if (found->kind == Kind::opens) in_multi_ = true;
  // With too many words EXEC fails, and leaves open what it was to close.
  bool const fails = found->kind == Kind::closes && words_to_come_ != 1;
  if (found->kind == Kind::closes && !fails) in_multi_ = false;
  if (found->kind == Kind::may_block) looks_for_block_ = true;
  if ((found->kind == Kind::changes || closes_nothing || fails) && changes_connection_.empty())
    changes_connection_ = found->name;
}

void CommandBuffer::word(std::string_view bytes) {
  if (words_ == 0) {
    take_note_of_name(bytes);
  } else if (looks_for_block_) {
    if (is(bytes, "BLOCK")) may_block_ = true;
    looks_for_block_ = !may_block_ && !is(bytes, "STREAMS");
  } else if (words_ == 1 && !container_.empty()) {
    for (auto const each : special_in_container) {
      bool const same =
          each.starts_with(container_) && is(bytes, each.substr(container_.size() + 1));
      if (same && changes_connection_.empty()) changes_connection_ = each;
    }
  }
  ++words_;
  char digits[24];
  auto const* const end = std::to_chars(digits, digits + sizeof digits, bytes.size()).ptr;
  bytes_ += '$';
  bytes_.append(digits, static_cast<std::size_t>(end - digits));
  bytes_ += "\r\n";
  bytes_ += bytes;
  bytes_ += "\r\n";
}

void CommandBuffer::append(CommandBuffer const& other) {
  bytes_ += other.bytes_;
  count_ += other.count_;
  may_block_ = may_block_ || other.may_block_;
  if (changes_connection_.empty()) changes_connection_ = other.changes_connection_;
  in_multi_ = in_multi_ || other.in_multi_;
}

void CommandBuffer::add(std::span<Argument const> arguments) {
  if (arguments.empty()) throw std::invalid_argument{"tandem: a command needs at least its name"};
  begin(arguments.size());
  for (auto const& argument : arguments) word(argument.bytes());
}

}  // namespace tandem

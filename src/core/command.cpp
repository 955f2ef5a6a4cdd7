#include "tandem/core/command.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace tandem {
namespace {

bool blocks(std::string_view name) noexcept {
  static constexpr std::string_view blocking[] = {"BLPOP",  "BRPOP",    "BRPOPLPUSH", "BLMOVE",
                                                  "BLMPOP", "BZPOPMIN", "BZPOPMAX",   "BZMPOP",
                                                  "XREAD",  "WAIT",     "XREADGROUP", "WAITAOF"};
  auto const upper = [](char letter) { return letter & ~0x20; };
  if (name.empty() || std::string_view{"BWX"}.find(static_cast<char>(upper(name.front()))) ==
                          std::string_view::npos) {
    return false;
  }
  return std::any_of(std::begin(blocking), std::end(blocking), [&](std::string_view each) {
    return std::equal(name.begin(), name.end(), each.begin(), each.end(),
                      [&](char a, char b) { return upper(a) == b; });
  });
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
  name_is_next_ = true;
}

void CommandBuffer::word(std::string_view bytes) {
  if (std::exchange(name_is_next_, false) && blocks(bytes)) may_block_ = true;
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
}

void CommandBuffer::add(std::span<Argument const> arguments) {
  if (arguments.empty()) throw std::invalid_argument{"tandem: a command needs at least its name"};
  begin(arguments.size());
  for (auto const& argument : arguments) word(argument.bytes());
}

}  // namespace tandem

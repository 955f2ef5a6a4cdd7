#include "tandem/core/command.hpp"

#include <charconv>
#include <stdexcept>

namespace tandem {

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
}

void CommandBuffer::word(std::string_view bytes) {
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
}

void CommandBuffer::add(std::span<Argument const> arguments) {
  if (arguments.empty()) throw std::invalid_argument{"tandem: a command needs at least its name"};
  begin(arguments.size());
  for (auto const& argument : arguments) word(argument.bytes());
}

}  // namespace tandem

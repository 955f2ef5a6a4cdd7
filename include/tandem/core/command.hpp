#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace tandem {

/// One word of a command, as the bytes that go to the server.
///
/// Text is referred to, not copied, and must outlive the call it is passed to; numbers are written
/// into the argument itself, floating point in the shortest form that reads back as the same
/// number. Bytes are bytes: NUL, newlines and invalid UTF-8 pass unchanged.
///
/// Cost:    no allocation.
class Argument {
 public:
  // NOLINTBEGIN(google-explicit-constructor): words of a command are written plainly
  Argument(std::string_view text) noexcept : text_{text} {}
  Argument(std::string const& text) noexcept : text_{text} {}
  Argument(char const* text) noexcept : text_{text} {}

  template <std::integral Number>
  Argument(Number number) noexcept {
    if constexpr (std::is_signed_v<Number>) {
      write_signed(number);
    } else {
      write_unsigned(number);
    }
  }
  template <std::floating_point Number>
  Argument(Number number) noexcept {
    static_assert(sizeof(Number) <= sizeof(double), "long double has no portable text; convert it");
    write_real(number);
  }
  // NOLINTEND(google-explicit-constructor)
  Argument(bool) = delete;  // Redis has no booleans: say 0, 1, "yes" ...
  Argument(char) = delete;  // a letter or a number? say which
  Argument(std::nullptr_t) = delete;

  [[nodiscard]] std::string_view bytes() const noexcept {
    return digit_count_ == 0 ? text_ : std::string_view{digits_, digit_count_};
  }

 private:
  void write_signed(long long number) noexcept;
  void write_unsigned(unsigned long long number) noexcept;
  void write_real(double number) noexcept;

  std::string_view text_{};
  std::size_t digit_count_ = 0;
  char digits_[32];  // the longest double in its shortest form takes 24 characters
};

/// Commands as they go over the wire (RESP arrays of bulk strings), one after another in one
/// buffer.
///
/// Threads: one at a time.
/// Source:  Redis serialization protocol specification, "Sending commands to a Redis server".
class CommandBuffer {
 public:
  CommandBuffer() = default;

  /// Appends one command: all of `arguments`, the command's name first. Throws
  /// std::invalid_argument when empty.
  void add(std::span<Argument const> arguments);

  /// Opens a command of `count` words, to be followed by exactly that many calls of `word`.
  void begin(std::size_t count);
  void word(std::string_view bytes);

  /// Appends all commands of `other`.
  void append(CommandBuffer const& other);

  void clear() noexcept {
    bytes_.clear();
    count_ = 0;
    may_block_ = false;
    changes_connection_ = {};
    in_multi_ = false;
  }

  [[nodiscard]] std::string_view bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return bytes_.capacity(); }
  [[nodiscard]] std::size_t count() const noexcept {
    return count_;
  }  ///< commands, and so replies to expect

  /// Whether one of them is such that the server may let everything behind it on its connection
  /// wait (BLPOP, XREAD, WAIT ...): a `Client` sends it over a connection of its own.
  ///
  /// Source:  redis.io/commands, "@blocking".
  [[nodiscard]] bool may_block() const noexcept { return may_block_; }

  /// The first of them that would leave its connection other than it was (SELECT, SUBSCRIBE, CLIENT
  /// REPLY ...), which a `Client` refuses: others speak over the same one. Empty: none would. MULTI
  /// with its EXEC is none.
  ///
  /// Source:  redis.io/commands, "@connection", "@transaction", "@pubsub".
  [[nodiscard]] std::string_view changes_connection() const noexcept {
    return changes_connection_.empty() && in_multi_ ? "MULTI without EXEC" : changes_connection_;
  }

 private:
  std::string bytes_{};
  std::size_t count_ = 0;
  void take_note_of_name(std::string_view name) noexcept;

  std::size_t words_ = 0;          // of the command that is open, so far
  std::size_t words_to_come_ = 0;  // of it, as it was begun
  std::string_view container_{};   // its name, where the next word decides what it is
  bool looks_for_block_ = false;   // XREAD, before its STREAMS
  bool may_block_ = false;
  bool in_multi_ = false;
  std::string_view changes_connection_{};
};

}  // namespace tandem

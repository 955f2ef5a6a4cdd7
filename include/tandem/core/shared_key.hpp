#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include <tandem/client.hpp>
#include <tandem/core/codec.hpp>

namespace tandem::detail {

/// One key of the server and commands on it, for types that are not much more than that.
class SharedKey {
 public:
  /// `what`: the type's name, for errors. Throws std::invalid_argument for an empty name.
  SharedKey(Client client, std::string name, char const* what);

  [[nodiscard]] std::string const& name() const noexcept { return name_; }

  /// A command: its name, then the key, the other words, and more of them. Asked again where its
  /// reply is lost.
  [[nodiscard]] Reply read(std::initializer_list<Argument> words,
                           std::span<std::string const> more = {}) const;
  /// The same, sent once: sent again it might undo what somebody else did in between.
  [[nodiscard]] Reply write(std::initializer_list<Argument> words,
                            std::span<std::string const> more = {}) const;
  /// A script with this key alone.
  [[nodiscard]] Reply run(Script const& script, std::span<Argument const> arguments) const;
  [[nodiscard]] Reply run(Script const& script, std::span<Argument const> arguments,
                          Deadline deadline) const;

  /// When a call that begins now is to have ended.
  [[nodiscard]] Deadline deadline() const;
  [[nodiscard]] Client const& client() const noexcept { return client_; }
  /// The type and the name, as errors say them.
  [[nodiscard]] std::string in_words() const;

  template <class T>
  [[nodiscard]] T decoded(std::string_view bytes) const {
    try {
      return Codec<T>::decode(bytes);
    } catch (CodecError const& error) {
      refuse(error);
    }
  }

 private:
  [[noreturn]] void refuse(CodecError const& error) const;
  [[nodiscard]] Reply ask(std::initializer_list<Argument> words, std::span<std::string const> more,
                          bool repeatable) const;

  Client client_;
  std::string name_;
  char const* what_;
};

}  // namespace tandem::detail

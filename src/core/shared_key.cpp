#include "tandem/core/shared_key.hpp"

#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"
#include "core/describe.hpp"
#include "core/scratch.hpp"

namespace tandem::detail {

SharedKey::SharedKey(Client client, std::string name, char const* what)
    : client_{std::move(client)}, name_{std::move(name)}, what_{what} {
  if (name_.empty()) {
    throw std::invalid_argument{
        fmt::format("tandem: a {}'s name is empty; any other bytes are accepted", what)};
  }
}

Reply SharedKey::read(std::initializer_list<Argument> words,
                      std::span<std::string const> more) const {
  return ask(words, more, true);
}

Reply SharedKey::write(std::initializer_list<Argument> words,
                       std::span<std::string const> more) const {
  return ask(words, more, false);
}

Reply SharedKey::ask(std::initializer_list<Argument> words, std::span<std::string const> more,
                     bool repeatable) const {
  ScratchCommand const command;
  auto const name = words.begin()->bytes();
  command->begin(words.size() + 1 + more.size());
  command->word(name);
  command->word(name_);
  for (auto const& word : std::span{words}.subspan(1)) command->word(word.bytes());
  for (auto const& word : more) command->word(word);
  auto& core = client_.core();
  auto reply = core.ask(*command, core.deadline(), repeatable ? Repeat::safe : Repeat::never);
  if (reply.is_error()) reply.throw_if_error(fmt::format("{} on {}", name, printable(name_)));
  return reply;
}

Reply SharedKey::run(Script const& script, std::span<Argument const> arguments) const {
  return run(script, arguments, deadline());
}

Reply SharedKey::run(Script const& script, std::span<Argument const> arguments,
                     Deadline deadline) const {
  std::string_view const keys[] = {name_};
  return client_.core().run(script, keys, arguments, deadline);
}

Deadline SharedKey::deadline() const { return client_.core().deadline(); }

std::string SharedKey::in_words() const { return fmt::format("{} {}", what_, quoted(name_)); }

void SharedKey::refuse(CodecError const& error) const {
  throw CodecError{fmt::format("tandem: {}: {}", in_words(), error.what())};
}

}  // namespace tandem::detail

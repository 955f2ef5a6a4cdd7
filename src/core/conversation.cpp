#include "tandem/core/conversation.hpp"

#include <string>
#include <string_view>

#include <strings.h>

#include "core/scratch.hpp"

namespace tandem {
namespace {

/// The one command whose first word may be a password.
bool is_auth(std::string_view name) {
  return name.size() == 4 && ::strncasecmp(name.data(), "AUTH", 4) == 0;
}

}  // namespace

Reply Conversation::execute(std::span<Argument const> words) {
  detail::ScratchCommand const command;
  command->add(words);
  auto reply = channel_->ask(*command, channel_->deadline(), detail::Repeat::never);
  if (reply.is_error()) {
    auto doing = std::string{words[0].bytes()};
    if (words.size() > 1 && !is_auth(doing))
      doing.append(" on ").append(words[1].bytes().substr(0, 64));
    reply.throw_if_error(doing);
  }
  return reply;
}

}  // namespace tandem

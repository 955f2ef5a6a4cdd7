#include "tandem/core/conversation.hpp"

#include <algorithm>
#include <string>

namespace tandem {

Reply Conversation::execute(std::span<Argument const> words) {
  CommandBuffer command;
  command.add(words);
  auto reply = channel_->ask(command, channel_->deadline(), detail::Repeat::never);
  if (reply.is_error()) {
    auto doing = std::string{words[0].bytes()};
    if (words.size() > 1) doing.append(" on ").append(words[1].bytes().substr(0, 64));
    reply.throw_if_error(doing);
  }
  return reply;
}

}  // namespace tandem

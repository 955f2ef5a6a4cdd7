#include "tandem/core/conversation.hpp"

#include "core/describe.hpp"
#include "core/scratch.hpp"

namespace tandem {
Reply Conversation::execute(std::span<Argument const> words) {
  detail::ScratchCommand const command;
  command->add(words);
  auto reply = channel_->ask(*command, channel_->deadline(), detail::Repeat::never);
  if (reply.is_error()) reply.throw_if_error(detail::describe(*command));
  return reply;
}

}  // namespace tandem

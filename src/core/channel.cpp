#include "tandem/core/channel.hpp"

#include "core/describe.hpp"
#include "core/scratch.hpp"

namespace tandem::detail {
void add_script(CommandBuffer& out, Script const& script, bool by_sha1,
                std::span<std::string_view const> keys, std::span<Argument const> arguments) {
  out.begin(3 + keys.size() + arguments.size());
  out.word(by_sha1 ? "EVALSHA" : "EVAL");
  out.word(by_sha1 ? script.sha1() : script.source());
  out.word(Argument{keys.size()}.bytes());
  for (auto const key : keys) out.word(key);
  for (auto const& argument : arguments) out.word(argument.bytes());
}

bool is_unknown_script(ReplyView reply) { return reply.error_text().starts_with("NOSCRIPT "); }

Reply Channel::run(Script const& script, std::span<std::string_view const> keys,
                   std::span<Argument const> arguments, Deadline deadline) {
  auto const repeat = script.repeatable() ? Repeat::safe : Repeat::never;
  ScratchCommand const command;
  add_script(*command, script, true, keys, arguments);
  Doubt doubt;
  auto reply = ask(*command, deadline, repeat, doubt);
  if (is_unknown_script(reply)) {
    command->clear();
    add_script(*command, script, false, keys, arguments);
    reply = ask(*command, deadline, repeat, doubt);
  }
  if (reply.is_error()) reply.throw_if_error(describe(*command));
  return reply;
}

}  // namespace tandem::detail

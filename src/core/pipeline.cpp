#include "tandem/core/pipeline.hpp"

#include <algorithm>

namespace tandem {

void Pipeline::add(Script const& script, std::span<std::string_view const> keys,
                   std::span<Argument const> arguments) {
  // The first use teaches the server the script, so that those behind it are short and none can
  // find it unknown.
  bool const known = std::any_of(scripts_.begin(), scripts_.end(), [&](Placed const& earlier) {
    return earlier.sha1 == script.sha1();
  });
  Placed placed{commands_.count(), script.sha1(), {}};
  detail::add_script(placed.in_full, script, false, keys, arguments);
  detail::add_script(commands_, script, known, keys, arguments);
  scripts_.push_back(std::move(placed));
}

std::vector<Reply> Pipeline::execute() {
  auto const commands = std::exchange(commands_, {});
  auto const scripts = std::exchange(scripts_, {});
  if (commands.count() == 0) return {};
  auto const deadline = channel_->deadline();
  auto replies = channel_->ask_all(commands, deadline);
  for (auto const& placed : scripts) {
    auto& reply = replies[placed.position];
    if (!detail::is_unknown_script(reply)) continue;
    // Somebody's SCRIPT FLUSH came in between. It was not executed, so it may be sent again.
    try {
      reply = channel_->ask(placed.in_full, deadline, detail::Repeat::never);
    } catch (Unreachable const& fault) {
      throw InDoubt{fault.what()};  // the rest of the pipeline was executed
    }
  }
  return replies;
}

}  // namespace tandem

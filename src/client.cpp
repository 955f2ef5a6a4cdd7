#include "tandem/client.hpp"

#include <memory>
#include <utility>

#include "core/core.hpp"
#include "core/scratch.hpp"

namespace tandem {

Client::Client(std::string_view url) : Client{Options::from_url(url)} {}

Client::Client(Options options) : Conversation{std::make_shared<detail::Core>(std::move(options))} {
  if (this->options().strict) core().connect();
}

Inspection Client::inspect(std::string_view key) { return core().inspect(key); }

void Client::post_words(std::span<Argument const> words) {
  detail::ScratchCommand const command;
  command->add(words);
  core().post(*command);
}

detail::Core& Client::core() const noexcept { return static_cast<detail::Core&>(*channel_); }

}  // namespace tandem

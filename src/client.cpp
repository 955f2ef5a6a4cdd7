#include "tandem/client.hpp"

#include <memory>
#include <utility>

#include "core/core.hpp"

namespace tandem {

Client::Client(std::string_view url) : Client{Options::from_url(url)} {}

Client::Client(Options options)
    : Conversation{std::make_shared<detail::Core>(std::move(options))} {}

detail::Core& Client::core() const noexcept { return static_cast<detail::Core&>(*channel_); }

}  // namespace tandem

// Options::from_url: any text is refused as the contract says, or makes options that can be used.
#include <stdexcept>
#include <string>
#include <string_view>

#include <tandem/core/options.hpp>

#include "target.hpp"

namespace {

using tandem::fuzz::require;

/// What the text is refused with; empty when it is accepted.
std::string refusal(std::string_view url) {
  tandem::Options options;
  try {
    options = tandem::Options::from_url(url);
  } catch (std::invalid_argument const& refused) {
    return refused.what();
  }
  options.check();  // throws what nobody catches
  require(!options.endpoint().empty(), "it says where the server is");
  return {};
}

}  // namespace

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  auto const text = tandem::fuzz::text_of(data, size);
  (void)refusal(text);

  // The same as what stands around a password: it is never shown.
  constexpr std::string_view secret = "hunter2-secret";
  if (text.find(secret) != std::string_view::npos) return 0;  // libFuzzer reads it here
  auto const middle = text.find('\n');
  auto const user = text.substr(0, middle);
  auto const rest = middle == std::string_view::npos ? "" : text.substr(middle + 1);
  for (auto const* scheme : {"redis://", "rediss://", "unix://"}) {
    auto url = std::string{scheme}.append(user).append(":").append(secret).append("@").append(rest);
    require(refusal(url).find(secret) == std::string::npos, "no refusal shows a password");
  }
  return 0;
}

#include "tandem/shared_list.hpp"

#include <stdexcept>

#include <fmt/core.h>

#include "scripts.hpp"

namespace tandem::detail {
namespace {

constexpr std::size_t longest = std::numeric_limits<std::uint32_t>::max();
// Lua's unpack takes some 8,000.
constexpr std::size_t most_at_once = 7000;

}  // namespace

ListKey::ListKey(Client client, std::string name, SharedListOptions options)
    : SharedKey{std::move(client), std::move(name), "list"}, options_{options} {
  if (options.most >= 1 && options.most <= longest) return;
  throw std::invalid_argument{fmt::format("tandem: {}: most is {}; accepted are 1 to {}",
                                          in_words(), options.most, longest)};
}

bool ListKey::push(End end, std::span<std::string const> elements) const {
  if (elements.empty()) return true;
  if (elements.size() > most_at_once) {
    throw std::invalid_argument{fmt::format("tandem: {}: {} elements at once; accepted are 1 to {}",
                                            in_words(), elements.size(), most_at_once)};
  }
  bool const gives_way = options_.when_full == SharedListOptions::WhenFull::drop_other_end;
  std::vector<Argument> arguments{options_.most, end == End::front ? 1 : 0, gives_way ? 1 : 0};
  arguments.insert(arguments.end(), elements.begin(), elements.end());
  return run(scripts::shared_list_push, arguments).size() == 1;
}

}  // namespace tandem::detail

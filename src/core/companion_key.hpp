#pragma once

#include <string>
#include <string_view>

namespace tandem::detail {

/// A key beside the key `name`, in its slot: the name's own hash tag where it has one, else the
/// whole name as the tag.
///
/// Source:  Redis cluster specification, "Hash tags". A name with a closing but no whole tag cannot
///          be wrapped in one; its keys work on a single server only.
[[nodiscard]] inline std::string companion_key(std::string_view name, std::string_view part) {
  auto const open = name.find('{');
  auto const close = open == std::string_view::npos ? open : name.find('}', open + 1);
  bool const tagged = close != std::string_view::npos && close > open + 1;
  std::string out;
  out.reserve(name.size() + part.size() + 3);
  if (!tagged) out += '{';
  out += name;
  if (!tagged) out += '}';
  return out.append(":").append(part);
}

}  // namespace tandem::detail

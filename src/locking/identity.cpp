#include "locking/identity.hpp"

#include <array>
#include <charconv>

#include <fmt/core.h>
#include <unistd.h>

#include "core/process.hpp"

namespace tandem::detail {
namespace {

constexpr char const* unknown = "-";

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "unknown";
  return name;
}

}  // namespace

std::optional<Identity> Identity::of(std::string_view token) noexcept {
  std::array<std::string_view, 6> part;
  for (auto& each : part) {
    auto const end = token.find('/');
    if (end == std::string_view::npos) return std::nullopt;
    each = token.substr(0, end);
    token.remove_prefix(end + 1);
  }
  Identity out;
  out.client = part[0];
  auto const read = std::from_chars(part[2].data(), part[2].data() + part[2].size(), out.pid);
  if (out.client.empty() || part[1].empty() || out.pid <= 0 || read.ec != std::errc{} ||
      read.ptr != part[2].data() + part[2].size())
    return std::nullopt;
  out.start = part[3];
  out.place = part[4];
  out.host = part[5];
  out.name = token;
  return out;
}

bool is_shared(std::string_view token) noexcept {
  auto const client = token.find('/');
  auto const number = token.find('/', client + 1);
  return client != std::string_view::npos && number != std::string_view::npos &&
         token[number - 1] == 's';
}

std::string own_identity(std::string_view place, std::string_view client_name) {
  auto const start = place == unknown ? std::string{} : start_of(::getpid());
  return fmt::format("/{}/{}/{}/{}/{}", ::getpid(), start.empty() ? unknown : start,
                     start.empty() ? unknown : place, host_name(), client_name);
}

}  // namespace tandem::detail

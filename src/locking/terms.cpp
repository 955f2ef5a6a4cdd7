#include "locking/terms.hpp"

#include <stdexcept>

#include <fmt/core.h>

namespace tandem::detail {

void require(bool fulfilled, std::string_view noun, std::string_view name, std::string_view what) {
  if (!fulfilled) {
    throw std::invalid_argument{fmt::format("tandem: {} \"{}\": {}", noun, name, what)};
  }
}

void require_sane(std::string_view noun, std::string_view name, LockTerms const& terms) {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  require(!name.empty(), noun, name, "the name is empty; any bytes will do");
  require(terms.lease >= milliseconds{10} && terms.lease <= hours{24}, noun, name,
          fmt::format("the lease is {} ms; accepted is 10 ms to 24 h", terms.lease.count()));
  require(terms.deadlock_after.count() == 0 ||
              (terms.deadlock_after >= milliseconds{10} && terms.deadlock_after <= hours{1}),
          noun, name,
          fmt::format("deadlock_after is {} ms; accepted is 0, and 10 ms to 1 h",
                      terms.deadlock_after.count()));
}

}  // namespace tandem::detail

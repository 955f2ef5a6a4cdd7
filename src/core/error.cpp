#include "tandem/core/error.hpp"

#include <fmt/core.h>

namespace tandem {

ServerError::ServerError(std::string_view reply, std::string_view doing)
    : Error{doing.empty() ? std::string{reply} : fmt::format("{}: {}", doing, reply)},
      code_{reply.substr(0, reply.find(' '))} {}

}  // namespace tandem

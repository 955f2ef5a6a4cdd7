#pragma once

#include "arguments.hpp"

namespace demo {

/// The run was stopped by a signal. Everything it had begun is gone.
struct Interrupted {
  int signal;
};

/// Counts together, counts alone, compares: whether all numbers agree.
///
/// Errors: Refused when it cannot begin; Interrupted; whatever else went wrong.
[[nodiscard]] bool run(Arguments const& arguments);

}  // namespace demo

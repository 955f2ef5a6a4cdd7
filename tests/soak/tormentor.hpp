#pragma once

#include "soak/plan.hpp"

namespace tandem::soak {

/// Runs it all; prints what happened. How many promises were broken.
int torment_locks(Plan const& plan);

}  // namespace tandem::soak

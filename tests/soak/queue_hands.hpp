#pragma once

#include <string>

#include "soak/ledger.hpp"

namespace tandem::soak {

/// Pushes jobs until there are to be no more; what becomes of each push stands in the ledger.
void produce(Ledger& ledger, int place, std::string const& url, unsigned seed);

/// Does jobs, well and badly, until there is to be no more work.
void consume(Ledger& ledger, std::string const& url, unsigned seed);

}  // namespace tandem::soak

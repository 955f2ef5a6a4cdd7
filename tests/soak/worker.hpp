#pragma once

#include <string>

#include "soak/book.hpp"

namespace tandem::soak {

/// Acquires, holds and releases on several threads until it is over, or this process is killed.
void work(Book& book, int place, std::string const& url, unsigned seed);

}  // namespace tandem::soak

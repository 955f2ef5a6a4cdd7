#include "tandem/ranking.hpp"

#include <algorithm>

#include <fmt/core.h>

#include "scripts.hpp"

namespace tandem::detail {

Reply RankingKey::around(std::string_view member, std::size_t above, std::size_t below) const {
  constexpr std::size_t most = 1'000'000'000;  // a script counts in doubles
  Argument const arguments[] = {member, std::min(above, most), std::min(below, most)};
  return run(scripts::ranking_around, arguments);
}

void RankingKey::require_score(double score) const {
  if (!std::isnan(score)) return;
  throw std::invalid_argument{fmt::format(
      "tandem: {}: the score is NaN; accepted is any number, infinity too", in_words())};
}

}  // namespace tandem::detail

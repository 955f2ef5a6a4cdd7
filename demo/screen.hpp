#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/lock.hpp>

#include "check.hpp"
#include "team.hpp"

namespace demo {

/// What there is to be seen of a run at one moment.
struct Scene {
  Record const& record;
  Team const& team;
  std::optional<tandem::Owner> const& owner;  ///< of the report's lock
  std::string_view title;
  std::string_view subtitle;
  std::int64_t chunks;
  std::chrono::nanoseconds elapsed;
};

enum class Style { plain, bold, faint, good, bad };

/// Standard output: a picture that is drawn again in place on a terminal; on anything else, and
/// where NO_COLOR or TERM=dumb ask for it, lines without escape codes.
class Screen {
 public:
  Screen();
  Screen(Screen const&) = delete;
  Screen& operator=(Screen const&) = delete;
  ~Screen() { leave(); }

  void show(Scene const& scene);

  /// Gives the terminal back as it was, with the cursor below the picture; the next show() begins a
  /// new one.
  void leave();

  /// A line for good, below the picture.
  void print(std::string_view line, Style style = Style::plain);

 private:
  void draw(Scene const& scene);
  void tell(Scene const& scene);
  [[nodiscard]] std::string styled(std::string_view line, Style style) const;

  bool live_;

  // When live: what was drawn.
  std::size_t drawn_ = 0;  // lines of the picture, above the cursor
  std::size_t rows_ = 0, columns_ = 0;

  // When not: what was told.
  bool told_title_ = false, told_killing_ = false, told_successor_ = false;
  std::chrono::nanoseconds next_progress_{};
};

}  // namespace demo

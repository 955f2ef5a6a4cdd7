#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <tandem/hold.hpp>

namespace demo {

/// A report that only one process at a time may write: a file of 16 lines, each with the fence of
/// its writer, rewritten in place, line by line and slowly. Two that wrote it at once would leave
/// lines of both: it would be torn.
///
/// The file has no name: it is gone when the last process that has it open is.
class Report {
 public:
  static constexpr std::size_t rows = 16;

  Report();
  Report(Report const&) = delete;
  Report& operator=(Report const&) = delete;
  ~Report();

  /// Writes `lines` (the first 16, empty ones where there are fewer), for as long as the hold
  /// lasts.
  void write(tandem::Hold const& hold, std::vector<std::string> const& lines) const;

  struct State {
    std::uint64_t fence =
        0;  ///< of its first line, which is the first to be written; 0: nobody has written yet
    bool whole = false;  ///< all lines bear this fence
  };
  [[nodiscard]] State state() const;

 private:
  void write_row(std::size_t row, std::uint64_t fence, std::string const& line) const;

  int descriptor_;
};

}  // namespace demo

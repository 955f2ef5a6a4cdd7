#include "report.hpp"

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

namespace demo {
namespace {

constexpr std::size_t width = 80;
constexpr std::size_t fence_width = 20;
constexpr std::chrono::microseconds pause_between_rows{300};

std::size_t position(std::size_t row) { return row * width; }

void check(bool good) {
  if (!good) throw std::system_error{errno, std::generic_category(), "the report"};
}

}  // namespace

Report::Report() : descriptor_{::memfd_create("tandem-demo-report", MFD_CLOEXEC)} {
  check(descriptor_ >= 0);
  for (std::size_t row = 0; row < rows; ++row) write_row(row, 0, "");
}

Report::~Report() { ::close(descriptor_); }

void Report::write(tandem::Hold const& hold, std::vector<std::string> const& lines) const {
  for (std::size_t row = 0; row < rows && hold.held(); ++row) {
    write_row(row, hold.fence(), row < lines.size() ? lines[row] : "");
    std::this_thread::sleep_for(pause_between_rows);
  }
}

Report::State Report::state() const {
  std::string text(position(rows), '\0');
  check(::pread(descriptor_, text.data(), text.size(), 0) == std::ssize(text));

  auto const fence = [&](std::size_t row) { return text.substr(position(row), fence_width); };
  State state{std::stoull(fence(0)), true};
  for (std::size_t row = 1; row < rows; ++row) state.whole = state.whole && fence(row) == fence(0);
  return state;
}

void Report::write_row(std::size_t row, std::uint64_t fence, std::string const& line) const {
  auto const text = fmt::format("{:>{}}  {:<{}.{}}\n", fence, fence_width, line,
                                width - fence_width - 3, width - fence_width - 3);
  check(::pwrite(descriptor_, text.data(), width, static_cast<off_t>(position(row))) == width);
}

}  // namespace demo

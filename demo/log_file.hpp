#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace demo {

/// What was asked for cannot be done; nothing was begun. The program ends with status 2.
class Refused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A file of lines, as long as it was when it was opened: a log that grows meanwhile does not
/// disturb the count.
class LogFile {
 public:
  /// Throws Refused for what is no readable file with something in it.
  explicit LogFile(std::string path);
  LogFile(LogFile&& other) noexcept;
  LogFile& operator=(LogFile&&) = delete;
  ~LogFile();

  static constexpr char const* dpkg_log = "/var/log/dpkg.log";

  /// The machine's own dpkg log; where that is missing or tiny, another log that it has.
  static LogFile of_this_machine();

  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }

  /// A name for the very file that was opened, whatever has got its path since (logs are rotated).
  [[nodiscard]] std::string name_of_opened() const {
    return "/proc/self/fd/" + std::to_string(descriptor_);
  }

  /// The whole lines that begin in chunk `chunk` of `chunks` equal parts of the file: every line is
  /// in one chunk.
  [[nodiscard]] std::string chunk(std::int64_t chunk, std::int64_t chunks) const;

  /// The whole lines that begin in the bytes from `begin` (inclusive) to `end` (exclusive).
  [[nodiscard]] std::string lines(std::int64_t begin, std::int64_t end) const;

  /// Just these bytes.
  [[nodiscard]] std::string bytes(std::int64_t begin, std::int64_t end) const;

 private:
  std::string path_;
  int descriptor_;
  std::int64_t size_ = 0;
};

/// Calls `use` with each line of `text`, without its newline. The last one may lack it; no line
/// follows a last newline.
template <class Use>
void for_each_line(std::string_view text, Use use) {
  while (!text.empty()) {
    auto const length = text.find('\n');
    use(text.substr(0, length));
    text.remove_prefix(length == std::string_view::npos ? text.size() : length + 1);
  }
}

}  // namespace demo

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tandem::detail {

/// An open file in /dev/shm that only this user can read or write.
///
/// Keep it for a moment only, and have a NoFork meanwhile: a child that inherited it would keep its
/// lock.
class ShmFile {
 public:
  /// What a file begins with, and how large it is.
  struct Form {
    std::string_view magic;
    std::size_t size;
    std::size_t reserved;  // so much, from the beginning, has memory of its own from the first
  };
  /// Opens it, or makes it, whole from the first moment at which it has a name. Throws Error when
  /// it cannot be had, is of another form, or somebody else can write to it.
  [[nodiscard]] static ShmFile open_or_make(std::string const& path, Form const& form);
  /// Empty when there is none, or it cannot be opened.
  [[nodiscard]] static std::optional<ShmFile> open_existing(std::string const& path) noexcept;

  ShmFile(ShmFile&& other) noexcept;
  ShmFile& operator=(ShmFile&&) = delete;
  ~ShmFile();

  /// False while somebody else has it; it is given back with the file.
  [[nodiscard]] bool try_lock() noexcept;
  /// Whether it still has its name.
  [[nodiscard]] bool has_name() const noexcept;
  [[nodiscard]] std::uint64_t inode() const noexcept;
  /// Memory for a part of it: without it a write there might end the process (SIGBUS). Throws
  /// Error.
  void reserve(std::size_t offset, std::size_t size, std::string const& path) const;
  /// Throws Error.
  [[nodiscard]] void* map(std::size_t size, std::string const& path) const;

 private:
  explicit ShmFile(int fd) noexcept : fd_{fd} {}
  void check(std::string const& path, Form const& form) const;

  int fd_;
};

}  // namespace tandem::detail

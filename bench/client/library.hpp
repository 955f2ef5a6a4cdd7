#pragma once

#include <string>

namespace bench {

/// A C++ library under measurement, as the callers see it. Every call is one round trip; a reply
/// that is an error throws.
class Library {
 public:
  Library() = default;
  Library(Library const&) = delete;
  Library& operator=(Library const&) = delete;
  virtual ~Library() = default;

  /// Called from the thread of that caller (0, 1, ...), from all of them at once.
  virtual void set(int caller, std::string const& key, std::string const& value) = 0;
  virtual void get(int caller, std::string const& key) = 0;
};

}  // namespace bench

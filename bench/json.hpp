#pragma once

#include <concepts>
#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace bench {

/// A JSON text, written from its beginning to its end.
///
///     Json json;
///     json.object([&] {
///       json.field("threads", 16);
///       json.array("cells", [&] { json.object([&] { json.field("p50_us", 31.5); }); });
///     });
///     json.save("client.json");
class Json {
 public:
  template <std::invocable Body>
  void object(Body const& body) {
    enclosed('{', '}', body);
  }
  template <std::invocable Body>
  void object(std::string_view name, Body const& body) {
    key(name);
    enclosed('{', '}', body);
  }
  template <std::invocable Body>
  void array(std::string_view name, Body const& body) {
    key(name);
    enclosed('[', ']', body);
  }
  template <std::invocable Body>
  void array(Body const& body) {
    enclosed('[', ']', body);
  }

  void field(std::string_view name, std::string_view text) {
    key(name);
    value(text);
  }
  void field(std::string_view name, char const* text) { field(name, std::string_view{text}); }
  void field(std::string_view name, bool truth) {
    key(name);
    text_ += truth ? "true" : "false";
  }
  template <std::integral Number>
  void field(std::string_view name, Number number) {
    key(name);
    text_ += fmt::format("{}", number);
  }
  void field(std::string_view name, double number) {
    key(name);
    text_ += fmt::format("{:.6g}", number);
  }
  void field(std::string_view name, std::optional<double> number) {
    if (number) return field(name, *number);
    key(name);
    text_ += "null";
  }
  void element(std::string_view text) {
    separate();
    value(text);
  }

  [[nodiscard]] std::string const& text() const noexcept { return text_; }

  void save(std::string const& path) const {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file{std::fopen(path.c_str(), "w"),
                                                               &std::fclose};
    if (file == nullptr || std::fprintf(file.get(), "%s\n", text_.c_str()) < 0 ||
        std::fflush(file.get()) != 0) {
      throw std::runtime_error{"cannot write " + path};
    }
  }

 private:
  /// A line for each element of an array: so that two files can be compared by eye.
  void separate() {
    if (text_.empty() || text_.back() == ' ') return;  // after a key
    if (text_.back() != '{' && text_.back() != '[') text_ += ',';
    text_ += in_array_ ? "\n  " : " ";
  }
  void key(std::string_view name) {
    separate();
    value(name);
    text_ += ": ";
  }
  void value(std::string_view text) {
    text_ += '"';
    for (char const c : text) {
      if (c == '"' || c == '\\') {
        text_ += {'\\', c};
      } else if (static_cast<unsigned char>(c) < 0x20) {
        text_ += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
      } else {
        text_ += c;
      }
    }
    text_ += '"';
  }
  template <class Body>
  void enclosed(char open, char close, Body const& body) {
    separate();
    text_ += open;
    auto const outer = std::exchange(in_array_, open == '[');
    body();
    in_array_ = outer;
    text_ += close;
  }

  std::string text_{};
  bool in_array_ = false;
};

}  // namespace bench

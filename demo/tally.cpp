#include "tally.hpp"

#include <algorithm>
#include <fstream>
#include <unordered_map>
#include <utility>
#include <vector>

namespace demo {
namespace {

constexpr std::string_view white_space = " \t\r\v\f";

/// Takes the first word from `line`; empty when there is none left.
std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(white_space), line.size()));
  auto const word = line.substr(0, line.find_first_of(white_space));
  line.remove_prefix(word.size());
  return word;
}

/// Whether `text` looks like `form`, in which 0 stands for any digit.
bool looks_like(std::string_view form, std::string_view text) {
  return std::equal(form.begin(), form.end(), text.begin(), text.end(),
                    [](char wanted, char found) {
                      return wanted == '0' ? found >= '0' && found <= '9' : found == wanted;
                    });
}

template <class Use>
void for_each_key(std::string_view line, Use use) {
  auto rest = line;
  auto const day = next_word(rest);
  if (day.empty()) return use(Keys::blank);
  if (looks_like("0000-00-00", day) && looks_like("00:00:00", next_word(rest))) {
    if (auto const action = next_word(rest); !action.empty())
      return use(std::string{day}.append(" ").append(action));
  }
  while (true) {
    auto const word = next_word(line);
    if (word.empty()) return;
    use(word);
  }
}

/// The whole of a small file, and pieces from all over a large one.
template <class Use>
void for_each_line_of_sample(LogFile const& log, Use use) {
  constexpr std::int64_t sample_size = 1 << 20;
  auto const pieces = log.size() <= sample_size ? 1 : 64;
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    auto const begin = log.size() / pieces * piece;
    auto const bytes = log.bytes(begin, begin + std::min(log.size(), sample_size / pieces));
    auto const broken = begin == 0 ? std::string::npos : bytes.find('\n');  // the line begun before
    for_each_line(std::string_view{bytes}.substr(broken == std::string::npos ? 0 : broken + 1),
                  use);
  }
}

}  // namespace

Keys::Keys(LogFile const& log) {
  constexpr std::size_t longest = 40;  // longer words are no table's rows
  std::unordered_map<std::string, std::int64_t> seen;
  for_each_line_of_sample(log, [&](std::string_view line) {
    for_each_key(line, [&](std::string_view key) {
      if (key.size() <= longest) ++seen[std::string{key}];
    });
  });

  std::vector<std::pair<std::int64_t, std::string>> commonest;
  commonest.reserve(seen.size());
  for (auto const& [key, times] : seen) commonest.emplace_back(-times, key);
  std::sort(commonest.begin(), commonest.end());
  commonest.resize(std::min(commonest.size(), most));
  for (auto const& [times, key] : commonest) none_.emplace(key, 0);
  none_.emplace(others, 0);
}

void Keys::count(std::string_view line, Tally& tally) const {
  for_each_key(line, [&](std::string_view key) {
    auto found = tally.find(key);
    if (found == tally.end()) found = tally.find(others);
    ++found->second;
  });
}

PlainCount count_alone(LogFile const& log, Keys const& keys) {
  PlainCount result{keys.none(), 0};
  std::ifstream in{log.name_of_opened(), std::ios::binary};
  auto left = log.size();  // what has been appended since is not ours to count
  for (std::string line; left > 0 && std::getline(in, line); left -= std::ssize(line) + 1) {
    keys.count(std::string_view{line}.substr(0, static_cast<std::size_t>(left)), result.tally);
    ++result.lines;
  }
  std::erase_if(result.tally, [](auto const& entry) { return entry.second == 0; });
  return result;
}

}  // namespace demo

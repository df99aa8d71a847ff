#include "cuda/emulation/symbol.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace instaseg::cuda::emulation {
namespace {

template <class T>
std::vector<T> read_table(std::ifstream& file, uint64_t offset, uint64_t bytes) {
  std::vector<T> table(bytes / sizeof(T));
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(reinterpret_cast<char*>(table.data()), static_cast<std::streamsize>(table.size() * sizeof(T)));
  if (!file) table.clear();
  return table;
}

/// The mangled name of the symbol at `offset` from the load address; empty where there is none.
std::string symbol_at(const char* path, uint64_t offset) {
  std::ifstream file(path, std::ios::binary);
  const auto header = read_table<ElfW(Ehdr)>(file, 0, sizeof(ElfW(Ehdr)));
  if (header.empty() || std::memcmp(header[0].e_ident, ELFMAG, SELFMAG) != 0) return {};
  const auto sections = read_table<ElfW(Shdr)>(file, header[0].e_shoff, header[0].e_shnum * sizeof(ElfW(Shdr)));
  for (const auto& section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    const auto& strings = sections[section.sh_link];
    for (const auto& symbol : read_table<ElfW(Sym)>(file, section.sh_offset, section.sh_size)) {
      if (symbol.st_value != offset || (symbol.st_info & 0xf) != STT_FUNC) continue;
      file.seekg(static_cast<std::streamoff>(strings.sh_offset + symbol.st_name));
      std::string name;
      std::getline(file, name, '\0');
      return name;
    }
  }
  return {};
}

void erase_all(std::string& text, std::string_view part) {
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at)) text.erase(at, part.size());
}

}  // namespace

std::string function_name(const void* function) {
  Dl_info info{};
  link_map* map = nullptr;
  if (!dladdr1(function, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) || !map) return "kernel";
  const char* path = *map->l_name ? map->l_name : "/proc/self/exe";
  const std::string mangled = symbol_at(path, reinterpret_cast<uint64_t>(function) - map->l_addr);
  int status = -1;
  char* demangled = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  std::string name = status == 0 ? demangled : mangled;
  std::free(demangled);
  if (name.empty()) return "kernel";
  erase_all(name, "instaseg::cuda::");
  erase_all(name, "instaseg::");
  erase_all(name, "(anonymous namespace)::");
  if (name.starts_with("void ")) name.erase(0, 5);
  // The arguments follow the template's, which may have parentheses of their own.
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (name[i] == '(' && depth == 0) name.erase(i);
  }
  return name;
}

std::string source_line(const void* code) {
  Dl_info info{};
  link_map* map = nullptr;
  if (!dladdr1(code, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) || !map) return "unknown code";
  // The address before the one to return to belongs to the call.
  std::ostringstream offset;
  offset << "0x" << std::hex << reinterpret_cast<uintptr_t>(code) - map->l_addr - 1;
  const std::string path =
      *map->l_name ? std::string(map->l_name) : std::filesystem::read_symlink("/proc/self/exe").string();
  std::string where = path + "+" + offset.str();
  FILE* lines = popen(("addr2line -i -e '" + path + "' " + offset.str() + " 2>/dev/null").c_str(), "r");
  if (!lines) return where;
  char line[1024];
  bool found = false;
  while (std::fgets(line, sizeof line, lines)) {
    std::string text = line;
    text.erase(text.find_last_not_of("\n") + 1);
    const size_t root = text.find("native/cuda/");
    if (found || root == std::string::npos) continue;
    text.erase(0, root);
    const bool own = text.starts_with("native/cuda/emulation/") && !text.starts_with("native/cuda/emulation/selftest/");
    if (own || text.starts_with("native/cuda/numeric.h")) continue;
    where = text.substr(0, text.find(' '));
    found = true;
  }
  pclose(lines);
  return where;
}

}  // namespace instaseg::cuda::emulation

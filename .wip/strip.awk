# keep what belongs to patches up to N: //@n at a line's end, //@{n ... //@}
/^\/\/@\{-/ { sub(/.*\{-/, ""); off = $0 + 0 <= N; next }
/^\/\/@\{/ { sub(/.*\{/, ""); off = $0 + 0 > N; next }
/^\/\/@\}/ { off = 0; next }
off { next }
/ \/\/@[0-9]+$/ { n = $0; sub(/.*\/\/@/, "", n); if (n + 0 > N) next; sub(/ \/\/@[0-9]+$/, "") }
/ \/\/@-[0-9]+$/ { n = $0; sub(/.*\/\/@-/, "", n); if (n + 0 <= N) next; sub(/ \/\/@-[0-9]+$/, "") }
{ print }

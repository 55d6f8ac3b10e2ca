package aplomb

import "strings"

const octetStream = "application/octet-stream"

// ContentType returns the Content-Type under which a file is sent, by its extension alone: the machine's own tables
// would answer differently from machine to machine. What it does not know is application/octet-stream.
func ContentType(path string) string {
	base := path[strings.LastIndexByte(path, '/')+1:]
	if t := typeOfName(base); t != "" {
		return t
	}
	dot := strings.LastIndexByte(base, '.')
	if dot < 0 {
		return octetStream
	}
	ext := strings.ToLower(base[dot+1:])
	for _, of := range [...]func(string) string{typeOfText, typeOfImage, typeOfFont, typeOfMedia, typeOfApplication} {
		if t := of(ext); t != "" {
			return t
		}
	}
	return octetStream
}

// typeOfName knows the files that the web asks for under a fixed name without a telling extension.
func typeOfName(base string) string {
	switch base {
	case "apple-app-site-association":
		return "application/json"
	case "LICENSE", "LICENCE", "README", "CHANGELOG", "NOTICE":
		return "text/plain; charset=utf-8"
	}
	return ""
}

func typeOfText(ext string) string {
	switch ext {
	case "html", "htm":
		return "text/html; charset=utf-8"
	case "xhtml", "xht":
		return "application/xhtml+xml; charset=utf-8"
	case "js", "mjs", "cjs":
		return "text/javascript; charset=utf-8"
	case "css":
		return "text/css; charset=utf-8"
	case "txt", "text", "log", "conf", "ini", "toml":
		return "text/plain; charset=utf-8"
	case "md", "markdown", "mdx":
		return "text/markdown; charset=utf-8"
	case "csv":
		return "text/csv; charset=utf-8"
	case "tsv":
		return "text/tab-separated-values; charset=utf-8"
	case "xml", "xsl", "xsd":
		return "text/xml; charset=utf-8"
	case "vtt":
		return "text/vtt; charset=utf-8"
	case "srt":
		return "application/x-subrip; charset=utf-8"
	case "ics":
		return "text/calendar; charset=utf-8"
	case "vcf":
		return "text/vcard; charset=utf-8"
	case "yaml", "yml":
		return "application/yaml"
	case "htc":
		return "text/x-component; charset=utf-8"
	}
	return ""
}

func typeOfImage(ext string) string {
	switch ext {
	case "svg":
		return "image/svg+xml"
	case "png":
		return "image/png"
	case "apng":
		return "image/apng"
	case "jpg", "jpeg", "jfif", "pjpeg", "pjp":
		return "image/jpeg"
	case "gif":
		return "image/gif"
	case "webp":
		return "image/webp"
	case "avif":
		return "image/avif"
	case "jxl":
		return "image/jxl"
	case "heic":
		return "image/heic"
	case "heif":
		return "image/heif"
	case "ico", "cur":
		return "image/x-icon"
	case "bmp":
		return "image/bmp"
	case "tif", "tiff":
		return "image/tiff"
	}
	return ""
}

func typeOfFont(ext string) string {
	switch ext {
	case "woff2":
		return "font/woff2"
	case "woff":
		return "font/woff"
	case "ttf":
		return "font/ttf"
	case "otf":
		return "font/otf"
	case "ttc":
		return "font/collection"
	case "eot":
		return "application/vnd.ms-fontobject"
	}
	return ""
}

func typeOfMedia(ext string) string {
	switch ext {
	case "mp4", "m4v":
		return "video/mp4"
	case "webm":
		return "video/webm"
	case "ogv":
		return "video/ogg"
	case "mov":
		return "video/quicktime"
	case "mpeg", "mpg":
		return "video/mpeg"
	case "ts":
		return "video/mp2t"
	case "m3u8":
		return "application/vnd.apple.mpegurl"
	case "mpd":
		return "application/dash+xml"
	case "mp3":
		return "audio/mpeg"
	case "m4a":
		return "audio/mp4"
	case "aac":
		return "audio/aac"
	case "ogg", "oga", "opus":
		return "audio/ogg"
	case "wav":
		return "audio/wav"
	case "flac":
		return "audio/flac"
	case "weba":
		return "audio/webm"
	case "mid", "midi":
		return "audio/midi"
	case "glb":
		return "model/gltf-binary"
	case "gltf":
		return "model/gltf+json"
	case "usdz":
		return "model/vnd.usdz+zip"
	}
	return ""
}

func typeOfApplication(ext string) string {
	switch ext {
	case "json", "map", "topojson":
		return "application/json"
	case "jsonld":
		return "application/ld+json"
	case "geojson":
		return "application/geo+json"
	case "ndjson", "jsonl":
		return "application/x-ndjson"
	case "webmanifest":
		return "application/manifest+json"
	case "importmap":
		return "application/importmap+json"
	case "rss":
		return "application/rss+xml; charset=utf-8"
	case "atom":
		return "application/atom+xml; charset=utf-8"
	case "wasm":
		return "application/wasm"
	case "pdf":
		return "application/pdf"
	case "zip":
		return "application/zip"
	case "gz", "tgz":
		return "application/gzip"
	case "br":
		return octetStream
	case "zst":
		return "application/zstd"
	case "tar":
		return "application/x-tar"
	case "7z":
		return "application/x-7z-compressed"
	case "epub":
		return "application/epub+zip"
	case "rtf":
		return "application/rtf"
	case "doc":
		return "application/msword"
	case "docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case "xls":
		return "application/vnd.ms-excel"
	case "xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case "ppt":
		return "application/vnd.ms-powerpoint"
	case "pptx":
		return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	}
	return ""
}

// mediaType returns a Content-Type without its parameters, in lower case.
func mediaType(contentType string) string {
	bare, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(bare))
}

// IsDocument reports whether a content type is that of a document, the thing a browser navigates to.
func IsDocument(contentType string) bool {
	switch mediaType(contentType) {
	case "text/html", "application/xhtml+xml":
		return true
	}
	return false
}

// IsCode reports whether a content type is that of a script, module, style, font or wasm: what a page cannot do without
// and what is therefore answered from the newest kept release that has it when the visitor's own has not.
func IsCode(contentType string) bool {
	t := mediaType(contentType)
	switch t {
	case "text/javascript", "application/javascript", "application/x-javascript", "application/ecmascript",
		"text/css", "application/wasm", "application/vnd.ms-fontobject":
		return true
	}
	return strings.HasPrefix(t, "font/")
}

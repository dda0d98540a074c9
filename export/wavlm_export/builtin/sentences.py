"""Sentences for synthesised voices to say: drawn from short lists of our own, so that no text of anybody else is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "en": (
        (
            "Well,",
            "So",
            "I think",
            "You know,",
            "Yesterday",
            "Actually,",
            "To be honest,",
            "Maybe",
            "Okay,",
            "And then",
            "As far as I can see,",
            "No,",
            "Right,",
        ),
        (
            "the manager",
            "my sister",
            "nobody here",
            "the small boat",
            "our new colleague",
            "everyone in the room",
            "that old machine",
            "the weather in March",
            "a young doctor",
            "the second question",
            "this button",
            "their neighbour",
        ),
        (
            "was looking for",
            "never understood",
            "has already finished",
            "should have asked about",
            "would rather change",
            "put away",
            "keeps forgetting",
            "brought back",
            "could not measure",
            "will talk about",
            "is afraid of",
            "sold",
        ),
        (
            "the blue suitcase",
            "what we agreed on",
            "twenty three boxes of fruit",
            "a cheap remote control",
            "the shape of the case",
            "our budget for next year",
            "half of the photographs",
            "these noisy children",
            "the bridge across the river",
            "an unusual question",
            "two cups of coffee",
            "the whole report",
        ),
        (
            "before lunch.",
            "because it was too expensive.",
            "and went home.",
            "without saying a word.",
            "in the middle of the night.",
            "just like the others.",
            "if that is all right with you?",
            "for about five minutes.",
            "though I would not worry.",
            "which is why we are here.",
            "on the way to the station.",
            "wouldn't you say?",
        ),
    ),
    "es": (
        ("Bueno,", "Ayer", "Creo que", "La verdad es que", "Mañana", "Entonces"),
        ("mi hermana", "el profesor", "la gente del barrio", "nuestro vecino", "una mujer joven", "el tren de las ocho"),
        ("ha comprado", "no quiere ver", "siempre pregunta por", "dejó en casa", "nunca entendió", "busca"),
        ("la llave pequeña", "tres libros viejos", "el camino del río", "una respuesta mejor", "los zapatos verdes", "la primera página"),
        ("porque hace mucho calor.", "antes de comer.", "sin decir nada.", "y luego se fue.", "en la plaza mayor.", "¿no te parece?"),
    ),
    "fr": (
        ("Alors,", "Hier", "Je crois que", "En fait,", "Demain matin", "Peut-être que"),
        ("ma soeur", "le directeur", "personne", "notre voisin", "une jeune femme", "le dernier train"),
        ("a trouvé", "ne veut pas changer", "demande toujours", "a laissé chez nous", "n'a jamais compris", "cherche"),
        (
            "la petite clé",
            "trois vieux livres",
            "le chemin de la rivière",
            "une meilleure réponse",
            "les chaussures vertes",
            "la première page",
        ),
        (
            "parce qu'il fait froid.",
            "avant le déjeuner.",
            "sans rien dire.",
            "et puis il est parti.",
            "sur la grande place.",
            "vous ne trouvez pas?",
        ),
    ),
    "it": (
        ("Allora,", "Ieri", "Penso che", "In realtà", "Domani mattina", "Forse"),
        ("mia sorella", "il direttore", "nessuno", "il nostro vicino", "una giovane donna", "l'ultimo treno"),
        ("ha trovato", "non vuole cambiare", "chiede sempre", "ha lasciato a casa", "non ha mai capito", "cerca"),
        ("la piccola chiave", "tre vecchi libri", "la strada del fiume", "una risposta migliore", "le scarpe verdi", "la prima pagina"),
        ("perché fa molto caldo.", "prima di pranzo.", "senza dire niente.", "e poi è andato via.", "nella grande piazza.", "non ti pare?"),
    ),
    "pt": (
        ("Então,", "Ontem", "Acho que", "Na verdade", "Amanhã cedo", "Talvez"),
        ("minha irmã", "o diretor", "ninguém", "o nosso vizinho", "uma mulher jovem", "o último trem"),
        ("encontrou", "não quer mudar", "sempre pergunta por", "deixou em casa", "nunca entendeu", "procura"),
        ("a chave pequena", "três livros velhos", "o caminho do rio", "uma resposta melhor", "os sapatos verdes", "a primeira página"),
        ("porque faz muito calor.", "antes do almoço.", "sem dizer nada.", "e depois foi embora.", "na praça grande.", "não acha?"),
    ),
    "hi": (
        ("कल", "आज", "मुझे लगता है कि", "असल में", "शायद", "अच्छा,"),
        ("मेरी बहन", "हमारा पड़ोसी", "वह छोटा लड़का", "नया डॉक्टर", "कोई आदमी", "मेरा दोस्त"),
        ("बाज़ार में", "नदी के पास", "सुबह आठ बजे", "बिना कुछ कहे", "घर के बाहर", "खाने से पहले"),
        ("तीन पुरानी किताबें", "एक छोटी चाबी", "हरे जूते", "पहला सवाल", "दो कप चाय", "यह लंबा रास्ता"),
        ("ढूँढ रहा था।", "भूल गया।", "लेकर आया।", "देखना चाहता है।", "कभी नहीं समझा।", "छोड़ कर चला गया।"),
    ),
}
"""By language: what a sentence is put together from, one of each list after the other."""


def sentence(language: str, random: np.random.Generator) -> str:
    """One or two sentences of about three seconds each; a language without a list gets English."""
    parts = PARTS.get(language, PARTS["en"])
    return " ".join(str(random.choice(choices)) for _ in range(int(random.integers(1, 3))) for choices in parts)

"""`syngraph trade`: what a buyer's and a seller's people do themselves, in Sonata's form; agents do the rest."""
